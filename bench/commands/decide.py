"""``bench decide``: find within a given time which model to use on a data set, and how certain that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands import options
from bench.commands.command import FLAG, SEVERAL
from metrics.errors import InputError

if TYPE_CHECKING:
    from bench.commands.options import Entry
    from bench.data.types import Dataset
    from bench.decide.task import Entrant

NAME = "decide"
EXAMPLES = """Examples:

python -m bench decide --data my_images/ --minutes 120

python -m bench decide --data my_images/ --minutes 60 --variant ssd fcos retinanet --limit latency_ms=30

python -m bench decide --data my_images/ --minutes 240 --preset ssd-lite0 fcos-squeezenet retinanet-squeezenet --set backbone.weights=squeezenet1_1.pth
"""

LEFT_OUT = ("localizer", "sliding_window")
"""Variants that take part only if they are named: baselines for one object, or for one-stage detectors."""


def command(
    minutes: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            min=0,
            help="Time for everything, from the data check to the page.",
            show_default=False,
        ),
    ],
    data: options.Data = None,
    format: options.Format = None,
    variant: options.Variants = None,
    preset: options.Presets = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    measure: Annotated[
        str, typer.Option(metavar="NAME", help="Measure that decides; higher values must be better.")
    ] = "ap",
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar=f"NAME=N{SEVERAL}",
            help="Leave out models that exceed a limit on latency_ms, parameters or weights_mb.",
            show_default=False,
        ),
    ] = None,
    default_priors: Annotated[
        bool,
        typer.Option(
            "--default-priors", metavar=FLAG, help="Do not fit anchor priors to the training boxes."
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Maximum number of passes over the training images; by default four times that of the settings.",
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    workers: options.Workers = None,
    out: options.Out = Path("runs"),
    callback: options.Callbacks = None,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Find within a given time which model to use, and how certain that is.

    Checks the data, fits anchor priors, trains models with two seeds each, longer and with more seeds as long as there is time,
    eliminates those that are worse on validation images, tunes the post-processing of the others, and looks at the test images once.
    The error rate of all eliminations together is 5%. Without --variant and --preset, all variants take part except localizer,
    sliding_window and those that need masks. The same command continues after an interruption, and a larger --minutes continues a
    finished decision.
    """
    from bench.callbacks import find_callbacks
    from bench.commands.decision_table import show_decision
    from bench.decide.decider import decide
    from bench.decide.task import DecisionTask, check_measure
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.context import RunContext
    from bench.tune.limits import parse_limits
    from metrics.atomic_files import require_writable

    if not 0 < minutes < math.inf:
        raise InputError(f"--minutes {minutes:g}: expected a number above 0")
    check_measure(measure)
    require_writable(out, "--out", folder=True)
    limits = parse_limits(limit or ())
    sources = options.setting_sources(
        data, config, set_, format=format, seed=seed, epochs=epochs, device=device, workers=workers
    )
    progress = Progress.auto(quiet)
    context = RunContext.of_command(progress, False, show_paths, False, find_callbacks(callback or ()))
    dataset, entrants = _entrants(variant, preset, config, sources, progress)
    task = DecisionTask(
        tuple(entrants), dataset, minutes, out, measure, tuple(limits), priors=not default_priors
    )
    decision, page = decide(task, context)
    if json:
        print_json({"decision": decision.model_dump(mode="json"), "page": page})
    else:
        show_decision(decision, page)


def _entrants(
    variants: Sequence[str] | None,
    presets: Sequence[str] | None,
    file: Path | None,
    sources: dict[str, Any],
    progress: Any,
) -> tuple[Dataset, list[Entrant]]:
    """The data set, opened, and the models that take part."""
    from bench.decide.task import Entrant
    from bench.settings.config import RunConfig
    from bench.settings.presets import variants_of
    from bench.settings.resolution import open_entries
    from detectors.external.registry import is_external_model

    if variants or presets or variants_of(None, file):
        entries = options.chosen_entries(variants, presets, file)
    else:
        entries = _all_variants()
    for entry in entries:
        if is_external_model(entry.variant):
            raise InputError(
                f"--variant {entry.variant}: an external model, which is not trained here; compare it afterwards with `bench run` and "
                "`bench compare`"
            )
    dataset, resolved = open_entries(entries, sources)
    for note in dict.fromkeys(str(note) for config in resolved for note in config.notes):
        progress.message(f"note: {note}")
    entrants = []
    for entry, config in zip(entries, resolved, strict=True):
        assert isinstance(config, RunConfig)
        name = entry.variant if entry.preset is None else entry.preset
        if sum(each.preset == entry.preset for each in entries) > 1 and entry.preset is not None:
            name = f"{entry.variant} {entry.preset}"  # a preset for any variant
        entrants.append(Entrant(name, entry.preset, config))
    return dataset, entrants


def _all_variants() -> list[Entry]:
    from detectors.registry import VARIANTS

    return [
        options.Entry(name)
        for name in VARIANTS.names()
        if name not in LEFT_OUT and not VARIANTS[name].label_maps
    ]
