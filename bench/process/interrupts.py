"""SIGINT (Ctrl-C) and SIGTERM: the first signal saves and stops, the second stops at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType


class Stopped(BaseException):
    """A signal stopped the work; finished steps are saved.

    A BaseException, like KeyboardInterrupt, so that code that recovers from errors does not swallow it.
    """

    def __init__(self, signum: int, saved: str = "") -> None:
        self.signum = signum
        self.saved = saved
        super().__init__(f"stopped by {signal.Signals(signum).name}{f'; {saved}' if saved else ''}")

    @property
    def exit_code(self) -> int:
        """The exit code that shells expect: 130 after SIGINT, 143 after SIGTERM."""
        return 128 + self.signum


class StopRequest:
    """Signal received so far. Long loops check `signum` after each step, save, and call `raise_if_stopped`."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._deferred = 0
        self._process = os.getpid()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Block that checks `signum` itself; outside such blocks a signal raises `Stopped` at once."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1
        self.raise_if_stopped()

    def raise_if_stopped(self, saved: str = "") -> None:
        """Raise `Stopped` if a signal was received."""
        if self.signum is not None:
            raise Stopped(self.signum, saved)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a data loader's worker inherited this handler; its parent ends it
        if self.signum is not None:
            # Second signal: neither save nor clean up; files written so far are complete.
            sys.stderr.write("\x1b[?25h\n" if sys.stderr.isatty() else "\n")
            sys.stderr.flush()
            os._exit(128 + signum)
        self.signum = signum
        if not self._deferred:
            raise Stopped(signum)
        sys.stderr.write("stopping after this step; a second signal stops at once\n")
        sys.stderr.flush()


_CURRENT: ContextVar[StopRequest | None] = ContextVar("stop_request", default=None)


@contextmanager
def handle_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a `StopRequest` inside the block. For the main thread only."""
    request = StopRequest()
    handlers = {
        signum: signal.signal(signum, request._on_signal) for signum in (signal.SIGINT, signal.SIGTERM)
    }
    token = _CURRENT.set(request)
    try:
        yield request
    finally:
        _CURRENT.reset(token)
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def stop_request() -> StopRequest:
    """The request of the enclosing `handle_signals` block, or one that never receives a signal."""
    return _CURRENT.get() or StopRequest()
