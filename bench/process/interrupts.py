"""Ctrl-C and `kill`, answered politely: once finishes and saves, twice stops now."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The work was stopped by a signal, and what had been done is saved.

    A BaseException, like KeyboardInterrupt: nothing that mends errors may swallow it.
    """

    def __init__(self, signum: int, saved: str = "") -> None:
        self.signum = signum
        self.saved = saved
        super().__init__(f"stopped by {signal.Signals(signum).name}{f'; {saved}' if saved else ''}")

    @property
    def exit_code(self) -> int:
        """What a shell expects: 130 after SIGINT, 143 after SIGTERM."""
        return 128 + self.signum


class StopRequest:
    """Whether somebody asked to stop. Long loops look at `signum` after each step, save, and call `obey`."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._patient = 0
        self._process = os.getpid()

    @contextmanager
    def patience(self) -> Iterator[None]:
        """A stretch that looks at `signum` itself; anywhere else a signal stops at once, by raising `Stopped`."""
        self._patient += 1
        try:
            yield
        finally:
            self._patient -= 1
        self.obey()

    def obey(self, saved: str = "") -> None:
        """Raise `Stopped` if a signal has come."""
        if self.signum is not None:
            raise Stopped(self.signum, saved)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a worker that reads images has inherited this handler; its parent ends it
        if self.signum is not None:
            # Second request: no saving, no cleaning; the files written so far are whole.
            sys.stderr.write("\x1b[?25h\n" if sys.stderr.isatty() else "\n")
            sys.stderr.flush()
            os._exit(128 + signum)
        self.signum = signum
        if not self._patient:
            raise Stopped(signum)
        sys.stderr.write("stopping after this step; again to stop now\n")
        sys.stderr.flush()


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Answer SIGINT and SIGTERM with a `StopRequest` while the block runs. In the main thread only."""
    request = StopRequest()
    old = {signum: signal.signal(signum, request._on_signal) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)
