"""``bench profile``: how fast the detectors of finished runs are, as they were evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options

if TYPE_CHECKING:
    from rich.console import Console

    from reports.records.run import RunFolder
    from reports.records.timing import StageTimes, Timing

NAME = "profile"
EXAMPLES = """Examples:

python -m bench profile runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench profile runs/*-mydata-0-* --batch 1 4 16 --seconds 60 --device cuda
"""


def command(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.", show_default=False)
    ],
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            metavar="N ...",
            help="Images at a time, and always 1: 1 2 4 8 by default.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Turns of each model in each process.")] = 6,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Fresh processes, one after another.")
    ] = 3,
    seconds: Annotated[
        float,
        typer.Option(metavar="S", help="For single images of each model; each other batch gets a quarter."),
    ] = 30.0,
    device: options.Device = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="CPU threads of torch; its own choice by default.", show_default=False
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Throw away what a profile that was broken off has measured.")
    ] = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Time runs that are done: latency by stage, images a second by batch, memory.

    From image file to detections, suppression included, in turn and in fresh processes. Leaves latency.json and
    latency.csv in each run's folder; `compare` then shows them. Nothing else should run meanwhile.
    """
    from bench.process.progress import Progress
    from bench.timing.profiler import profile
    from bench.timing.schedule import Protocol
    from reports.records.run import RunFolder

    opened = [RunFolder.open(path) for path in dict.fromkeys(path.resolve() for path in runs)]
    protocol = Protocol(
        processes, rounds, seconds, tuple(sorted({1, *batch})) if batch else Protocol().batches
    )
    timings = profile(
        opened,
        protocol,
        device=device or "auto",
        threads=threads or 0,
        progress=Progress.fitting(quiet),
        fresh=fresh,
    )
    show_timings(opened, timings)


def show_timings(
    runs: Sequence[RunFolder], timings: Sequence[Timing], console: Console | None = None
) -> None:
    """Print one row a run: latency of a single image, images a second at the best batch size, memory and size."""
    from rich.console import Console
    from rich.table import Table

    from bench.commands.results_table import as_it_is
    from reports.elements import formatting

    console = console or Console()
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold", min_width=9)
    table.add_column("seed", justify="right")
    for title in ("p50 ms", "p90 ms", "p99 ms", "network", "boxes", "images/s", "memory", "weights"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("")
    for run, timing in zip(runs, timings, strict=True):
        rates = [(of.images_per_second, of.batch) for of in timing.batches if of.images_per_second]
        rate, batch = max(rates, default=(None, 1))
        memory = [of.memory_bytes for of in timing.batches if of.batch == 1]
        whole = timing.headline
        table.add_row(
            as_it_is(run.result.variant),
            formatting.MISSING if run.result.seed is None else str(run.result.seed),
            *(_percentile(whole, p) for p in (0.5, 0.9, 0.99)),
            *(_percentile(timing.stage(stage), 0.5) for stage in ("forward", "postprocess")),
            formatting.MISSING if rate is None else f"{rate:.1f} (by {batch})",
            formatting.large_number(memory[0] if memory else None) + "B" * bool(memory and memory[0]),
            formatting.large_number(timing.subject.parameters),
            " ".join(["invalid"] * bool(timing.invalid) + ["noisy"] * timing.noisy),
        )
    console.print(table)
    machine = timings[0].machine
    console.print(f"on {machine.name} ({machine.fingerprint})", markup=False, highlight=False)
    console.print(
        "latency.json and latency.csv lie in each run's folder; `python -m bench compare` shows them"
    )


def _percentile(times: StageTimes | None, p: float) -> str:
    if times is None:
        return "–"
    found = times.percentile(p)
    if found.value_ms is None:
        return f"n={times.samples} < {found.least}"
    return f"{found.value_ms:.1f}"
