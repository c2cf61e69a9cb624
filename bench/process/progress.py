"""Progress of each stage of the work: bars on a terminal, plain lines elsewhere, or no output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from metrics.messages import message_line

Facts = float | int | str


class Stage:
    """One stage of the work, counted in steps. This base class shows no progress."""

    def advance(self, steps: int = 1, **facts: Facts) -> None:
        """Advance by `steps` and show the latest value of each fact (``loss=1.2``)."""

    def resume(self, done: int) -> None:
        """Start from `done` steps of an earlier process."""


class Progress:
    """Progress display.

    Args:
        style: ``bars``, ``lines`` (at the start and end of a stage, and every `interval` seconds) or ``off``.
        console: output; standard error if None, so that standard output can be piped.
        interval: seconds between two lines.
    """

    def __init__(
        self,
        style: Literal["bars", "lines", "off"] = "off",
        console: Console | None = None,
        interval: float = 10.0,
    ) -> None:
        self.style = style
        self.console = console or Console(stderr=True)
        self.interval = interval

    @classmethod
    def auto(cls, quiet: bool = False, console: Console | None = None) -> Progress:
        """Bars on a terminal, otherwise lines; off if `quiet`."""
        console = console or Console(stderr=True)
        return cls("off" if quiet else "bars" if console.is_terminal else "lines", console)

    def message(self, text: str) -> None:
        """Print a line of text above the bars."""
        if self.style != "off":
            self.console.print(message_line(text), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Show a stage of `total` steps (None: unknown) while the block runs."""
        name = message_line(name)
        if self.style == "bars":
            with _bars(self.console) as bars:
                yield _Bar(bars, bars.add_task(name, total=total, facts=""))
        elif self.style == "lines":
            lines = _Lines(self, name, total)
            yield lines
            lines.end()
        else:
            yield Stage()


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[facts]}", markup=False),
        console=console,
        refresh_per_second=5,
    )


class _Bar(Stage):
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars = bars
        self._task = task
        self._facts: dict[str, Facts] = {}

    def advance(self, steps: int = 1, **facts: Facts) -> None:
        if facts:
            self._facts |= facts
            self._bars.update(self._task, advance=steps, facts=_format(self._facts))
        else:
            self._bars.advance(self._task, steps)

    def resume(self, done: int) -> None:
        self._bars.update(self._task, completed=done)


class _Lines(Stage):
    def __init__(self, progress: Progress, name: str, total: int | None) -> None:
        self._progress = progress
        self._name = name
        self._total = total
        self._done = 0
        self._facts: dict[str, Facts] = {}
        self._started = self._printed = time.monotonic()
        progress.message(f"{name} ...")

    def advance(self, steps: int = 1, **facts: Facts) -> None:
        self._done += steps
        self._facts |= facts
        now = time.monotonic()
        if now - self._printed >= self._progress.interval:
            self._printed = now
            of = f"/{self._total}" if self._total is not None else ""
            self._progress.message(f"{self._name}: {self._done}{of}  {_format(self._facts)}".rstrip())

    def resume(self, done: int) -> None:
        self._done = done

    def end(self) -> None:
        seconds = time.monotonic() - self._started
        self._progress.message(f"{self._name}: done in {seconds:.1f} s  {_format(self._facts)}".rstrip())


def _format(facts: dict[str, Facts]) -> str:
    texts = (
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {message_line(value)}"
        for name, value in facts.items()
    )
    return "  ".join(texts)
