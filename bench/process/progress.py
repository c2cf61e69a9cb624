"""How far each stage of the work is: bars on a terminal, plain lines elsewhere, or nothing."""

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

Facts = float | int | str


class Stage:
    """One stage of the work, counted in its own steps."""

    def advance(self, steps: int = 1, **facts: Facts) -> None:
        """`steps` more are done; `facts` (``loss=1.2``) are shown beside, the last of each name."""

    def resume(self, done: int) -> None:
        """`done` steps were done in an earlier process."""


class Progress:
    """Shows stages while they run.

    Args:
        how: ``bars``, ``lines`` (one at a stage's start, each `every` seconds, and at its end) or ``nothing``.
        console: where to; standard error where None, so that results can be piped.
        every: seconds between two lines.
    """

    def __init__(
        self,
        how: Literal["bars", "lines", "nothing"] = "nothing",
        console: Console | None = None,
        every: float = 10.0,
    ) -> None:
        self.how = how
        self.console = console or Console(stderr=True)
        self.every = every

    @classmethod
    def fitting(cls, quiet: bool = False, console: Console | None = None) -> Progress:
        """Bars where a person looks at a terminal, else lines; nothing if `quiet`."""
        console = console or Console(stderr=True)
        return cls("nothing" if quiet else "bars" if console.is_terminal else "lines", console)

    def message(self, text: str) -> None:
        """A line of text, above the bars."""
        if self.how != "nothing":
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """A stage called `name` of `total` steps (None: nobody knows)."""
        if self.how == "bars":
            with _bars(self.console) as bars:
                yield _Bar(bars, bars.add_task(name, total=total, facts=""))
        elif self.how == "lines":
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
            self._bars.update(self._task, advance=steps, facts=_said(self._facts))
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
        self._started = self._told = time.monotonic()
        progress.message(f"{name} ...")

    def advance(self, steps: int = 1, **facts: Facts) -> None:
        self._done += steps
        self._facts |= facts
        now = time.monotonic()
        if now - self._told >= self._progress.every:
            self._told = now
            of = f"/{self._total}" if self._total is not None else ""
            self._progress.message(f"{self._name}: {self._done}{of}  {_said(self._facts)}".rstrip())

    def resume(self, done: int) -> None:
        self._done = done

    def end(self) -> None:
        seconds = time.monotonic() - self._started
        self._progress.message(f"{self._name}: done in {seconds:.1f} s  {_said(self._facts)}".rstrip())


def _said(facts: dict[str, Facts]) -> str:
    texts = (
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in facts.items()
    )
    return "  ".join(texts)
