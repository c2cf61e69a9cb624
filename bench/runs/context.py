"""Run context: where a run reports to, and how it behaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.process.interrupts import StopRequest
from bench.process.progress import Progress


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where a run reports to and how it behaves; nothing here changes a number.

    Attributes:
        progress: where to show how far it is.
        stop: where to look whether somebody wants it to stop.
        fresh: begin anew, and remove what an earlier run of the same cause left.
        command: what was typed.
        show_paths: leave absolute paths in the result, which may hold a user's name.
        page: write ``report.html`` of this run alone.
    """

    progress: Progress = field(default_factory=Progress)
    stop: StopRequest = field(default_factory=StopRequest)
    fresh: bool = False
    command: str = ""
    show_paths: bool = False
    page: bool = True
