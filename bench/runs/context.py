"""Run context: everything around a run that does not change its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.callbacks import MakeCallback
from bench.process.interrupts import StopRequest, stop_request
from bench.process.invocation import command_arguments
from bench.process.progress import Progress
from bench.runs.provenance import command_line


@dataclass(frozen=True, slots=True)
class RunContext:
    """Options of a run that do not change its result.

    Attributes:
        progress: progress display.
        stop: request to stop, checked between steps.
        fresh: remove an earlier run of the same name and repeat it.
        command: command line to record.
        show_paths: keep absolute paths in the result; they may contain a user's name.
        page: write ``report.html`` about this run alone.
        callbacks: callbacks that follow the progress, by name; see `bench.callbacks.find_callbacks`.
    """

    progress: Progress = field(default_factory=Progress)
    stop: StopRequest = field(default_factory=StopRequest)
    fresh: bool = False
    command: str = ""
    show_paths: bool = False
    page: bool = True
    callbacks: Mapping[str, MakeCallback] = field(default_factory=dict)

    @classmethod
    def of_command(
        cls,
        progress: Progress,
        fresh: bool = False,
        show_paths: bool = False,
        page: bool = True,
        callbacks: Mapping[str, MakeCallback] | None = None,
    ) -> RunContext:
        """Context of the running command: its request to stop, and its command line."""
        command = command_line(command_arguments(), show_paths)
        return cls(progress, stop_request(), fresh, command, show_paths, page, callbacks or {})
