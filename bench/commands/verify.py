"""``bench verify``: check that finished runs are still as recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.errors import RegressionError

if TYPE_CHECKING:
    from bench.runs.verification import Check

NAME = "verify"
EXAMPLES = """Examples:

python -m bench verify runs/ssd-shapes-0-1a2b3c4d5e

python -m bench verify runs/ --predict
"""

_MOST = 3


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders, or folders of run folders.", show_default=False),
    ],
    again: Annotated[
        bool,
        typer.Option(
            "--predict",
            metavar=FLAG,
            help="Predict again with the saved weights, and compare the detections.",
        ),
    ] = False,
    device: options.Device = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", metavar=FLAG, help="Exit with code 5 also if something differs or cannot be checked."
        ),
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Verify finished runs: files, settings, evaluation, data and versions are as recorded.

    Evaluates the saved detections again, and hashes files, data and weights. Exit code 5 if anything has changed.
    Differences that other versions or another processor explain do not count as changes.
    """
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import open_runs
    from bench.runs.verification import verify
    from reports.elements.formatting import printable

    chosen_device = options.checked_device(device)
    progress = Progress.auto(quiet)
    opened = [run for of_path in open_runs(runs, progress) for run in of_path]
    verified = {}
    for run in opened:
        verified[run.result.name] = checks = verify(run, again=again, device=chosen_device, progress=progress)
        if not json:
            print(printable(run.result.name))
            for check in checks:
                for line in _lines(check):
                    print(f"  {printable(line)}")
    if json:
        print_json({name: [_fields(check) for check in checks] for name, checks in verified.items()})
    failing = {"changed", "differs", "unknown"} if strict else {"changed"}
    failed = [name for name, checks in verified.items() if any(check.state in failing for check in checks)]
    if failed:
        raise RegressionError(f"not as recorded: {', '.join(failed)}")


def _lines(check: Check) -> Iterator[str]:
    """The check in a line, and a line for each of the first differences."""
    yield f"{check.state:8} {check.name}" + (f": {check.reason}" if check.reason else "")
    for difference in check.differences[:_MOST]:
        yield f"{'':8}   {difference.name}: {_short(difference.then)} then, {_short(difference.now)} now"
    if len(check.differences) > _MOST:
        yield f"{'':8}   and {len(check.differences) - _MOST} more"


def _short(value: str) -> str:
    """A digest by its first characters; any other value as it is."""
    return value[:12] if len(value) == 64 and set(value) <= set("0123456789abcdef") else value


def _fields(check: Check) -> dict[str, object]:
    return {
        "check": check.name,
        "state": check.state,
        "differences": [difference._asdict() for difference in check.differences],
        "reason": check.reason or None,
    }
