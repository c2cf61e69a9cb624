"""``bench run``: train and evaluate variants on a data set, and compare them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands import options
from bench.process.interrupts import StopRequest

if TYPE_CHECKING:
    from bench.settings.config import EntryConfig

NAME = "run"
EXAMPLES = """Examples:

python -m bench run --variant ssd

python -m bench run --variant ssd retinanet fcos --data my_images/ --seeds 3

python -m bench run --variant ssd --set train.epochs=30 nms.iou=0.4

python -m bench run --variant ssd torchvision/retinanet_resnet50_fpn_v2 --data my_images/
"""

STOP = StopRequest()
"""Whether this process was asked to stop; `bench.cli` puts the one that hears signals here."""


def command(
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    seed: options.Seed = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs of each variant, with seeds that differ.")
    ] = 1,
    epochs: options.Epochs = None,
    device: options.Device = None,
    workers: options.Workers = None,
    out: options.Out = Path("runs"),
    fresh: Annotated[
        bool, typer.Option("--fresh", "--overwrite", help="Begin anew what is done or begun.")
    ] = False,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print all settings and stop.")] = False,
    show_paths: options.ShowPaths = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Train, predict, evaluate and compare variants, and write a report.

    Beside them may stand predictors that were trained elsewhere, such as torchvision/ssd300_vgg16: they only predict.
    What is done already is not done again; what was broken off goes on where it stopped.
    """
    given = {
        "data.format": format,
        "seed": seed,
        "train.epochs": epochs,
        "device": device,
        "workers": workers,
    }
    names = options.chosen_variants(variant, preset, config)
    sources: dict[str, Any] = {
        "data": data,
        "preset": preset,
        "file": config,
        "sets": set_ or [],
        "options": {path: value for path, value in given.items() if value is not None},
        "variants": names,
    }
    if show_config:
        from bench.commands.config import show

        show(names, sources)
        return
    _run(names, sources, seeds, out, fresh=fresh, show_paths=show_paths, quiet=quiet)


def _run(
    names: Sequence[str],
    sources: dict[str, Any],
    seeds: int,
    out: Path,
    fresh: bool,
    show_paths: bool,
    quiet: bool,
) -> None:
    from bench.commands.results_table import show_results
    from bench.process import distributed
    from bench.process.invocation import command_arguments
    from bench.process.progress import Progress
    from bench.runs.context import RunContext
    from bench.runs.finished_run import image_loader
    from bench.runs.provenance import command_line
    from bench.runs.report import compare_runs, comparison_folder
    from bench.runs.run import open_configured, run
    from bench.settings.config import RunConfig, resolve_entry

    # Every variant's settings are checked before the first is trained.
    for name in names:
        resolve_entry(name, **sources)
    progress = Progress.fitting(quiet or not distributed.is_main_process())
    dataset = open_configured(resolve_entry(names[0], **sources))
    references: list[EntryConfig] = []
    trained: list[EntryConfig] = []
    for name in names:
        first = resolve_entry(name, **sources, data_defaults=dataset.defaults)
        if isinstance(first, RunConfig):
            trained += [first.with_seed(first.seed + k) for k in range(seeds)]
        else:
            references.append(first)
    cells = references + trained  # what takes minutes, and may lack its weights, before what takes hours
    context = RunContext(
        progress=progress,
        stop=STOP,
        fresh=fresh,
        command=command_line(command_arguments(), show_paths),
        show_paths=show_paths,
    )
    runs = []
    for number, cell in enumerate(cells, 1):
        which = f" ({number} of {len(cells)})" if len(cells) > 1 else ""
        seed = f"seed {cell.seed}" if isinstance(cell, RunConfig) else "trained elsewhere"
        progress.message(f"{cell.variant}, {seed}, on {dataset.name}{which}")
        runs.append(run(cell, out, dataset, context))
    if not distributed.is_main_process():
        return
    if len(runs) == 1:
        page = runs[0].path / "report.html"
    else:
        split = dataset.splits[cells[0].evaluate.split]
        page = compare_runs(runs, comparison_folder(runs, out), image_loader(split), progress, show_paths)
    show_results(runs, page)
