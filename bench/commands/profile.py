"""``bench profile``: measure the speed of finished runs' detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG, SEVERAL
from metrics.number_text import fixed
from metrics.plurals import plural

if TYPE_CHECKING:
    from rich.console import Console

    from reports.records.run import RunFolder
    from reports.records.timing import StageTimes, Timing

NAME = "profile"
EXAMPLES = """Examples:

python -m bench profile runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench profile runs/*-mydata-0-* --batch 1 4 16 --seconds 60 --device cuda

python -m bench profile runs/ssd-shapes-0-1a2b3c4d5e onnx/exports/model.onnx
"""

_PERCENTILES = (0.5, 0.9, 0.99)


def command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run folders, folders of run folders, or external models (onnx/FILE, hf/FOLDER, torchvision/NAME), which are "
            "evaluated first, on the images of the first run.",
            show_default=False,
        ),
    ],
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            metavar=f"N{SEVERAL}",
            help="Batch sizes, 1 2 4 8 by default; 1 is always included.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds per process.")] = 6,
    processes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Fresh processes, one after another, which share --seconds; confidence intervals are over processes.",
        ),
    ] = 5,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Seconds for which each model is timed on single images; every other batch size gets a quarter of that.",
        ),
    ] = 30.0,
    device: options.Device = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="CPU threads of torch; torch decides by default.", show_default=False
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", metavar=FLAG, help="Discard the measurements of an interrupted profile."),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Time finished runs: latency by stage, throughput by batch size, and memory.

    A pass goes from image file to detections, including NMS. Models take turns in fresh processes; keep the machine idle
    meanwhile. Writes latency.json and latency.csv into each run's folder, which `compare` includes in its report.
    """
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.context import RunContext
    from bench.timing.profiler import profile
    from bench.timing.schedule import Protocol
    from bench.timing.timed_models import runs_to_time

    chosen_device = options.checked_device(device)
    progress = Progress.auto(quiet)
    opened = runs_to_time(runs, RunContext.of_command(progress, page=False), progress)
    batches = tuple(sorted({1, *batch})) if batch else Protocol().batches
    timings = profile(
        opened,
        Protocol(processes, rounds, seconds, batches),
        device=chosen_device,
        threads=threads or 0,
        progress=progress,
        fresh=fresh,
    )
    if json:
        print_json({"timings": timings})
    else:
        show_timings(opened, timings)


def show_timings(
    runs: Sequence[RunFolder], timings: Sequence[Timing], console: Console | None = None
) -> None:
    """Print a row per run: latency of single images, best throughput, memory and number of parameters."""
    from rich.console import Console

    from bench.commands.results_table import model_cells, print_lines, results_table, short_labels
    from reports.analysis.models import model_labels
    from reports.elements import formatting

    console = console or Console()
    full = model_labels(runs)
    labels, legend = short_labels(full)
    columns = (
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "network",
        "decoding and NMS",
        "images/s",
        "batch",
        "memory",
        "param-\neters",  # all columns fit 80 characters
    )
    table = results_table("model", *columns, wrap=True)
    for run, timing in zip(runs, timings, strict=True):
        rates = [(of.images_per_second, of.batch) for of in timing.batches if of.images_per_second]
        rate, batch = max(rates, default=(None, None))
        memory = next((of.memory_bytes for of in timing.batches if of.batch == 1), None)
        table.add_row(
            *model_cells(run, labels),
            *(_percentile(timing.headline, p) for p in _PERCENTILES),
            *(_percentile(timing.stage(stage), 0.5) for stage in ("forward", "postprocess")),
            fixed(rate, 1),
            formatting.count(batch),
            formatting.byte_size(memory),
            formatting.large_number(timing.subject.parameters),
        )
    console.print(table)
    machine = timings[0].machine
    names = [_name(run, full) for run in runs]
    lines = (
        *legend,
        *_computed_by(runs, names),
        "times are from image file to detections: with decoding and resizing, without reading from disk",
        *_remarks(names, timings),
        f"on {machine.name} ({machine.fingerprint})",
        "latency.json and latency.csv are in each run's folder; `python -m bench compare` includes them",
    )
    print_lines(console, lines)


def _name(run: RunFolder, labels: Mapping[str, str]) -> str:
    seed = run.result.seed
    return f"{labels[run.result.name]}{'' if seed is None else f' {seed}'}"


def _computed_by(runs: Sequence[RunFolder], names: Sequence[str]) -> Iterator[str]:
    """Lines on the runtime of models that are files."""
    from metrics.plurals import plural

    for run, name in zip(runs, names, strict=True):
        file = run.result.model_file
        if file is not None:
            threads = plural(file.threads, "thread")
            yield f"{name}: {file.runtime} on {file.provider}, {file.precision}, {threads}"


def _remarks(names: Sequence[str], timings: Sequence[Timing]) -> Iterator[str]:
    """Lines on models whose timing is invalid, noisy, or too short for a percentile."""
    from reports.elements.formatting import MISSING, join_words

    pairs = list(zip(names, timings, strict=True))
    invalid = [name for name, timing in pairs if timing.invalid]
    if invalid:
        yield f"invalid, and left out of comparisons (see the warnings): {join_words(invalid)}"
    noisy = [name for name, timing in pairs if timing.noisy]
    if noisy:
        yield f"noisy: {join_words(noisy)}"
    wholes = [timing.headline for timing in timings if timing.headline is not None]
    least = {
        f"p{100 * p:g} needs {of.least}"
        for whole in wholes
        for p in _PERCENTILES
        if (of := whole.percentile(p)).value_ms is None
    }
    if least:
        fewest = min(whole.samples for whole in wholes)
        yield (
            f"{MISSING}: not estimable from {plural(fewest, 'pass')} ({join_words(sorted(least))}); "
            "a larger --seconds gives more"
        )


def _percentile(times: StageTimes | None, p: float) -> str:
    value = None if times is None else times.percentile(p).value_ms
    return fixed(value, 1)
