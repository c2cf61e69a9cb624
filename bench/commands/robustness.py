"""``bench robustness``: AP of finished runs on corrupted test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG, SEVERAL
from metrics.errors import InputError

if TYPE_CHECKING:
    from reports.records.robustness import RobustnessRecord
    from reports.records.run import RunFolder

NAME = "robustness"
EXAMPLES = """Examples:

python -m bench robustness runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench robustness runs/ssd-shapes-0-1a2b3c4d5e --corruptions fog jpeg_compression --severities 1 3 5
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
    """Evaluate finished runs on corrupted test images: noise, blur, weather and digital changes at five severities.

    Every corruption and severity is measured once, and an interrupted measurement continues. Writes robustness.json into
    each run's folder, which `compare` includes in its report.
    """
    from bench.data.corruptions.corrupted import CORRUPTIONS, SEVERITIES
    from bench.designs.robustness import measure_robustness
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import open_runs
    from bench.training.device import pick_device
    from metrics.registry import did_you_mean

    names = list(dict.fromkeys(corruptions or CORRUPTIONS))
    for name in names:
        if name not in CORRUPTIONS:
            hint = did_you_mean(name, CORRUPTIONS) or f"; known: {', '.join(CORRUPTIONS)}"
            raise InputError(f"--corruptions: no corruption {name!r}{hint}")
    chosen = pick_device(options.checked_device(device))
    progress = Progress.auto(quiet)
    opened = [run for of_path in open_runs(runs, progress) for run in of_path]
    records = [
        measure_robustness(
            run,
            names,
            sorted(set(severities or SEVERITIES)),
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


def _fields(run: RunFolder, record: RobustnessRecord) -> dict[str, object]:
    from reports.analysis.robustness import summary_of

    found = summary_of(record)
    return {
        "name": run.result.name,
        "clean_ap": record.clean.ap,
        "mpc": found.mpc.value,
        "rpc": found.rpc.value,
        "cells": [cell.model_dump(exclude={"replicates"}) for cell in record.cells],
    }


def _show(runs: Sequence[RunFolder], records: Sequence[RobustnessRecord]) -> None:
    from rich.console import Console

    from bench.commands.results_table import model_cells, results_table
    from reports.analysis.models import model_labels
    from reports.analysis.robustness import summary_of

    console = Console()
    labels = model_labels(runs)
    table = results_table("model", "clean AP", "AP under\ncorruption", "relative")
    for run, record in zip(runs, records, strict=True):
        found = summary_of(record)
        values = (record.clean.ap, found.mpc.value, found.rpc.value)
        table.add_row(
            *model_cells(run, labels), *("–" if v is None or v != v else f"{v:.3f}" for v in values)
        )
    console.print(table)
    line = "robustness.json is in each run's folder; `python -m bench compare` includes it"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
