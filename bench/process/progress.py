"""Progress of each stage of the work: bars on a terminal, plain lines elsewhere, or no output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

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
        self._overall: _Overall | None = None

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
        if self._overall is not None and self._overall.bars is not None:
            timed = self._overall.bars
            task = timed.add_task(name, total=total, facts="")
            try:
                yield _Bar(timed, task)
            finally:
                timed.remove_task(task)
        elif self.style == "bars":
            with _bars(self.console) as bars:
                yield _Bar(bars, bars.add_task(name, total=total, facts=""))
        elif self.style == "lines":
            lines = _Lines(self, self._timed(name), total)
            yield lines
            lines.end()
        else:
            yield Stage()

    @contextmanager
    def overall(self, name: str, seconds: float, done: float = 0.0) -> Iterator[None]:
        """Show how much of a given time is over while the block runs, above the bar of each stage.

        Args:
            name: of the whole work.
            seconds: the given time.
            done: seconds that earlier processes took.
        """
        if self.style != "bars":
            self._overall = _Overall(None, name, seconds, done)
            try:
                yield
            finally:
                self._overall = None
            return
        columns = (
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
        )
        bars = _TimedBars(*columns, console=self.console, refresh_per_second=5)
        bars.begin(name, seconds, done)
        with bars:
            self._overall = _Overall(bars, name, seconds, done)
            try:
                yield
            finally:
                self._overall = None

    def _timed(self, name: str) -> str:
        """The name of a stage, with the time that is over of the given one."""
        if self._overall is None:
            return name
        return f"[{self._overall.over / 60:.0f} of {self._overall.seconds / 60:g} min] {name}"


class _TimedBars(Bars):
    """Bars of which the first one shows the time."""

    _began = 0.0
    _seconds = 0.0
    _first: TaskID | None = None

    def begin(self, name: str, seconds: float, done: float) -> None:
        """Add the first bar."""
        self._began = time.monotonic() - done
        self._seconds = seconds
        self._first = super().add_task(name, total=seconds, completed=int(done), facts="", count="")

    def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
        """Add a bar of a stage."""
        return super().add_task(description, *args, **{"count": "", **fields})

    def get_renderables(self) -> Any:
        """The bars as they are now."""
        over = time.monotonic() - self._began
        for task in self.tasks if self._first is not None else ():
            if task.id == self._first:
                task.completed = over
                task.fields["count"] = f"{over / 60:.0f}/{self._seconds / 60:g} min"
            else:
                total = "?" if task.total is None else f"{task.total:.0f}"
                task.fields["count"] = f"{task.completed:.0f}/{total}"
        yield from super().get_renderables()


class _Overall:
    """The whole work: its bars, or None where there are none, and the time."""

    def __init__(self, bars: _TimedBars | None, name: str, seconds: float, done: float) -> None:
        self.bars = bars
        self.name = name
        self.seconds = seconds
        self._began = time.monotonic() - done

    @property
    def over(self) -> float:
        """Seconds that are over."""
        return time.monotonic() - self._began


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
