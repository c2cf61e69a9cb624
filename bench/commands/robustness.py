"""``bench robustness``: AP of finished runs on corrupted and shifted test images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG, SEVERAL
from metrics.errors import InputError
from metrics.number_text import fixed

if TYPE_CHECKING:
    from rich.table import Table

    from reports.records.robustness import RobustnessRecord
    from reports.records.run import RunFolder

NAME = "robustness"
EXAMPLES = """Examples:

python -m bench robustness runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench robustness runs/ssd-shapes-0-1a2b3c4d5e --corruptions fog jpeg_compression --severities 1 3 5

python -m bench robustness runs/ssd-shapes-0-1a2b3c4d5e --shifts size brightness
"""


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders, or folders of run folders.", show_default=False),
    ],
    corruptions: Annotated[
        list[str] | None,
        typer.Option(
            "--corruptions",
            metavar=f"NAME{SEVERAL}",
            help="Corruptions, such as gaussian_noise, motion_blur, fog, jpeg_compression; all fifteen by default.",
            show_default=False,
        ),
    ] = None,
    severities: Annotated[
        list[int] | None,
        typer.Option(
            "--severities",
            metavar=f"N{SEVERAL}",
            min=1,
            max=5,
            help="Severities from 1 to 5; all by default.",
            show_default=False,
        ),
    ] = None,
    shifts: Annotated[
        list[str] | None,
        typer.Option(
            "--shifts",
            metavar=f"NAME{SEVERAL}",
            help="size: objects half to twice as large; brightness: images a quarter to twice as bright. Both by default; "
            "--corruptions without --shifts measures no shifts, and --shifts alone no corruptions.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=-1, help="Processes that load images; -1 chooses by machine.")
    ] = -1,
    fresh: Annotated[
        bool, typer.Option("--fresh", metavar=FLAG, help="Measure again what was measured before.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate finished runs on corrupted and shifted test images.

    Corruptions are noise, blur, weather and digital changes at five severities; shifts change the size of objects and the
    brightness. Each is measured once, and the same command continues an interrupted measurement. Writes
    robustness.json into each run's folder; `compare` includes it in its report.
    """
    from bench.data.corruptions.corrupted import CORRUPTIONS, SEVERITIES
    from bench.data.shifts import SHIFTS
    from bench.designs.robustness import measure_robustness
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import open_runs
    from bench.training.device import pick_device

    names = _known(
        "corruption", corruptions or (CORRUPTIONS if shifts is None or severities else ()), CORRUPTIONS
    )
    moved = _known("shift", shifts or (SHIFTS if corruptions is None else ()), SHIFTS)
    chosen = pick_device(options.checked_device(device))
    progress = Progress.auto(quiet)
    opened = [run for of_path in open_runs(runs, progress) for run in of_path]
    records = [
        measure_robustness(
            run,
            names,
            sorted(set(severities or SEVERITIES)),
            moved,
            device=chosen,
            workers=workers,
            fresh=fresh,
            progress=progress,
        )
        for run in opened
    ]
    if json:
        print_json({"runs": [_fields(run, record) for run, record in zip(opened, records, strict=True)]})
    else:
        _show(opened, records)


def _known(kind: str, names: Iterable[str], known: Collection[str]) -> list[str]:
    """The names without repetitions; InputError for an unknown one."""
    from metrics.registry import did_you_mean

    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise InputError(f"--{kind}s: no {kind} {name!r}{hint}")
    return chosen


def _fields(run: RunFolder, record: RobustnessRecord) -> dict[str, object]:
    from reports.analysis.robustness import summary_of

    found = summary_of(record)
    return {
        "name": run.result.name,
        "clean_ap": record.clean.ap,
        "mpc": found.mpc.value,
        "rpc": found.rpc.value,
        "cells": [cell.model_dump(exclude={"replicates"}) for cell in record.cells],
        "shifts": [value.model_dump(exclude={"replicates"}) for value in record.shifts],
    }


def _show(runs: Sequence[RunFolder], records: Sequence[RobustnessRecord]) -> None:
    from rich.console import Console

    from bench.commands.results_table import model_cells, print_lines, results_table, short_labels
    from bench.data.shifts import SHIFTS
    from reports.analysis.models import model_labels
    from reports.analysis.robustness import summary_of

    console = Console()
    labels, legend = short_labels(model_labels(runs))
    table = results_table("model", "clean AP", "AP under\ncorruption", "relative")
    for run, record in zip(runs, records, strict=True):
        found = summary_of(record)
        values = (record.clean.ap, found.mpc.value, found.rpc.value)
        table.add_row(*model_cells(run, labels), *map(fixed, values))
    console.print(table)
    for name, factors in SHIFTS.items():
        if any(value.shift == name for record in records for value in record.shifts):
            console.print(_shift_table(name, factors, runs, records, labels))
    line = "robustness.json is in each run's folder; `python -m bench compare` includes it"
    print_lines(console, [*legend, line])


def _shift_table(
    name: str,
    factors: Sequence[float],
    runs: Sequence[RunFolder],
    records: Sequence[RobustnessRecord],
    labels: Mapping[str, str],
) -> Table:
    """AP at each factor of a shift."""
    from bench.commands.results_table import model_cells, results_table

    table = results_table("model", *(f"{name}\nx {factor:g}" for factor in factors))
    for run, record in zip(runs, records, strict=True):
        values = [record.shifted(name, factor) for factor in factors]
        aps = [None if value is None else value.ap for value in values]
        table.add_row(*model_cells(run, labels), *map(fixed, aps))
    return table
