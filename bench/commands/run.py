"""``bench run``: train and evaluate variants on a data set, and compare them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands import options
from bench.commands.command import FLAG, SEVERAL
from metrics.errors import InputError

if TYPE_CHECKING:
    from bench.data.types import Split
    from bench.runs.context import RunContext
    from reports.records.run import RunFolder

NAME = "run"
EXAMPLES = """Examples:

python -m bench run --variant ssd

python -m bench run --variant ssd retinanet fcos --data my_images/ --seeds 3

python -m bench run --variant ssd --set train.epochs=30 nms.iou=0.4

python -m bench run --variant ssd fcos --data my_images/ --budget images=20000

python -m bench run --variant ssd fcos --data my_images/ --folds 5

python -m bench run --variant ssd fcos --data my_images/ --train-sizes 50 100 200 all --seeds 3

python -m bench run --preset ssd-squeezenet fcos-squeezenet --data my_images/

python -m bench run --variant ssd torchvision/retinanet_resnet50_fpn_v2 --data my_images/
"""


def command(
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Presets = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    seed: options.Seed = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs per variant, each with another seed.")
    ] = 1,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Cross-validation: divide all images into N folds, test each once, and pool the detections.",
            show_default=False,
        ),
    ] = None,
    train_sizes: Annotated[
        list[str] | None,
        typer.Option(
            "--train-sizes",
            metavar=f"N|all{SEVERAL}",
            help="Learning curves: train each model on each of these numbers of images; smaller sets are subsets of larger ones.",
            show_default=False,
        ),
    ] = None,
    epochs: options.Epochs = None,
    budget: options.BudgetOption = None,
    device: options.Device = None,
    workers: options.Workers = None,
    out: options.Out = Path("runs"),
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            "--overwrite",
            metavar=FLAG,
            help="Repeat runs that are finished or interrupted.",
        ),
    ] = False,
    no_page: options.NoPage = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            metavar=FLAG,
            help="Print which runs are finished, the time that the others will take (estimated from a few timed steps) and the disk space; write nothing.",
        ),
    ] = False,
    show_config: Annotated[
        bool,
        typer.Option("--show-config", metavar=FLAG, help="Print all settings instead of running."),
    ] = False,
    callback: options.Callbacks = None,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Train variants, evaluate them on the test split, compare them and write a report.

    External models, such as torchvision/ssd300_vgg16, are evaluated without training. Finished runs are reused;
    interrupted runs continue where they stopped.
    """
    if folds is not None and train_sizes:
        raise InputError("--folds, --train-sizes: two designs; give one of them")
    entries = options.chosen_entries(variant, preset, config)
    sources = options.setting_sources(
        data,
        config,
        set_,
        budget=budget,
        format=format,
        seed=seed,
        epochs=epochs,
        device=device,
        workers=workers,
    )
    if show_config:
        from bench.commands.config import show

        show(entries, sources, json)
        return
    if dry_run:
        from bench.commands.dry_run import dry_run as show_runs

        show_runs(entries, sources, seeds, folds, train_sizes, out, fresh, json, quiet)
        return
    _run(
        entries,
        sources,
        seeds,
        folds,
        train_sizes,
        out,
        fresh=fresh,
        pages=not no_page,
        callbacks=callback or (),
        show_paths=show_paths,
        json=json,
        quiet=quiet,
    )


def _run(
    entries: Sequence[options.Entry],
    sources: dict[str, Any],
    seeds: int,
    folds: int | None,
    train_sizes: Sequence[str] | None,
    out: Path,
    fresh: bool,
    pages: bool,
    callbacks: Sequence[str],
    show_paths: bool,
    json: bool,
    quiet: bool,
) -> None:
    from bench.callbacks import find_callbacks
    from bench.commands.results_table import results_json, show_results
    from bench.designs.folds import fold_levels, pool_levels
    from bench.designs.levels import run_levels
    from bench.designs.train_sizes import run_sizes, size_levels
    from bench.process import distributed
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import compare_runs, comparison_folder
    from bench.runs.context import RunContext
    from bench.runs.finished_run import find_split
    from metrics.atomic_files import require_writable

    require_writable(out, "--out", folder=True)
    progress = Progress.auto(quiet or not distributed.is_main_process())
    context = RunContext.of_command(progress, fresh, show_paths, pages, find_callbacks(callbacks))
    split: Split | None
    if train_sizes:
        sized = run_sizes(size_levels(train_sizes), entries, sources, seeds, out, context)
        runs = [run for level in sized for run in level.runs.values()]
        split = next(iter(sized)).dataset.splits[runs[0].result.data.split]
    elif folds is None:
        runs, split = _run_matrix(entries, sources, seeds, out, context)
    else:
        levels = run_levels(fold_levels(folds), entries, sources, seeds, out, context)
        if not distributed.is_main_process():
            return
        runs = pool_levels(levels, out, context)
        if not runs:
            raise InputError(
                "--folds: no model has all folds yet; other processes are working on them, so repeat the command when they are finished"
            )
        split = find_split(runs)
    if not distributed.is_main_process():
        return
    page: Path | None = None
    if pages:
        folder = runs[0].path if len(runs) == 1 else comparison_folder(runs, out)
        page = folder / "report.html"
        if len(runs) > 1 or not page.is_file():
            compare_runs(runs, folder, None, split, progress, show_paths)
    if json:
        print_json(results_json(runs, page))
    else:
        show_results(runs, page)


def _run_matrix(
    entries: Sequence[options.Entry],
    sources: dict[str, Any],
    seeds: int,
    out: Path,
    context: RunContext,
) -> tuple[list[RunFolder], Split]:
    """Each variant with each seed on the data set as it is: the runs, and the images that they are evaluated on."""
    from bench.runs.matrix import run_all, with_seeds
    from bench.runs.run import run
    from bench.settings.resolution import open_entries

    dataset, resolved = open_entries(entries, sources)
    for note in dict.fromkeys(str(note) for config in resolved for note in config.notes):
        context.progress.message(f"note: {note}")
    configs = with_seeds(resolved, seeds)
    runs, held = run_all(
        configs, lambda config: run(config, out, dataset, context), dataset.name, context.progress
    )
    for busy in held:
        context.progress.message(f"not included: {busy}")
    return runs, dataset.splits[configs[0].evaluate.split]
