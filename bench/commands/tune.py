"""``bench tune``: seek better settings, and say honestly what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.commands import options
from metrics.errors import InputError

NAME = "tune"
EXAMPLES = """Examples:

python -m bench tune --variant ssd --space nms --run runs/ssd-shapes-0-1234567890

python -m bench tune --variant ssd --space train.lr focal nms --trials 30

python -m bench tune --variant ssd --data my_coco/ --space anchors train nms --limit latency_ms=30

python -m bench tune --variant ssd --space nms.iou=0.3:0.7 image.size="96,96|128,128"
"""


def command(
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="WORD ...",
            help="What to tune: anchors, train and nms (all marked settings), a section or setting, "
            "a range path=low:high[:log], or options path=a|b|c.",
            show_default=False,
        ),
    ] = None,
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Presets = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    trials: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Trials of each stage, over all workers, earlier ones included."
        ),
    ] = 50,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="WORD ...",
            help='A measure (ap, ap50, ...), a sum ("0.7*ap + 0.3*ap_small"), or several for a Pareto front.',
            show_default="ap",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="NAME=MOST ...",
            help="What a trial must keep, measured before it is trained: latency_ms=30, parameters=2e6, weights_mb=8.",
            show_default=False,
        ),
    ] = None,
    run_: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="FOLDER", help="Tune post-processing for this run's weights.", show_default=False
        ),
    ] = None,
    again: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Fresh seeds with which the best and the default are run again; 2, or 0 with --run.",
            show_default=False,
        ),
    ] = None,
    pruner: Annotated[
        Literal["hyperband", "asha", "none"], typer.Option(help="Who gives up trainings that go badly.")
    ] = "hyperband",
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The study's name; by default one that its cause gives.", show_default=False
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A database that several machines share; by default a file in --out.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes that share the trials.")] = 1,
    seed: options.Seed = None,
    epochs: options.Epochs = None,
    device: options.Device = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where folders of studies are.")] = Path(
        "studies"
    ),
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Tune settings on the validation split; the same command goes on with a study that was stopped.

    Priors are fitted without training, and post-processing is tried on candidates that are predicted once. At the end the best few and the untuned settings are
    run again with fresh seeds, one is chosen on validation, and test is looked at once.
    """
    from bench.process.interrupts import stop_request
    from bench.process.invocation import command_arguments
    from bench.process.progress import Progress
    from bench.runs.provenance import command_line
    from bench.settings.presets import variants_of
    from bench.tune.plan import Plan
    from bench.tune.tuner import tune

    if not space:
        raise InputError(
            "--space: say what to tune, as in --space nms train.lr (`python -m bench tune --help`)"
        )
    file = run_ / "config.toml" if run_ is not None else config
    if run_ is not None and config is not None:
        raise InputError("--run and --config: a run brings its own settings; give one of the two")
    name, preset_ = options.chosen_entry(variant, preset, file)
    if run_ is not None and variants_of(None, file) not in ([], [name]):
        raise InputError(f"--run {run_}: is of variant {variants_of(None, file)[0]!r}, not {name!r}")
    given = {"data.format": format, "seed": seed, "train.epochs": epochs, "device": device}
    plan = Plan(
        variant=name,
        space=tuple(space),
        sources={
            "data": data,
            "preset": preset_,
            "file": config,
            "sets": set_ or [],
            "options": {path: value for path, value in given.items() if value is not None},
        },
        objectives=tuple(objective or ["ap"]),
        limits=tuple(limit or ()),
        trials=trials,
        out=out,
        run=run_,
        again=again,
        workers=workers,
        storage=storage,
        study=study,
        pruning=pruner,
        command=command_line(command_arguments()),
    )
    tune(plan, Progress.auto(quiet), stop_request()).show()
