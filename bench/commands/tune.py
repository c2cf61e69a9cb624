"""``bench tune``: search for better settings, and evaluate them on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.commands import options
from bench.commands.command import SEVERAL
from metrics.errors import InputError
from metrics.number_text import MISSING, fixed
from metrics.plurals import plural
from reports.analysis.study_values import signed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from reports.records.final_evaluation import FinalEvaluation, Finalist, Gain
    from reports.records.study import StudyFolder
    from reports.records.trial import Scalar

NAME = "tune"
EXAMPLES = """Examples:

python -m bench tune --variant ssd --space nms --run runs/ssd-shapes-0-1234567890

python -m bench tune --variant retinanet --space train.lr focal nms --trials 30

python -m bench tune --variant ssd --data my_coco/ --space anchors train nms --limit latency_ms=30

python -m bench tune --variant ssd --space nms.iou=0.3:0.7 image.size="96,96|128,128"
"""


def command(
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar=f"ENTRY{SEVERAL}",
            help="What to tune: anchors, train, nms (all settings with declared ranges), a section or setting, "
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
        typer.Option(metavar="N", min=1, help="Trials per stage, over all workers and earlier calls."),
    ] = 50,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar=f"OBJECTIVE{SEVERAL}",
            help='A measure (ap, ap50, miou, ...), a weighted sum ("0.7*ap + 0.3*ap_small"), or several of them; by '
            "default ap, and miou for the training of unet.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar=f"NAME=MAX{SEVERAL}",
            help="Upper bounds, measured before a trial is trained: latency_ms=30, parameters=2e6, weights_mb=8.",
            show_default=False,
        ),
    ] = None,
    run_: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="FOLDER", help="Tune post-processing for this run's weights.", show_default=False
        ),
    ] = None,
    fresh_seeds: Annotated[
        int | None,
        typer.Option(
            "--fresh-seeds",
            "--again",
            metavar="N",
            min=0,
            help="Seeds per setting in the final evaluation of the best and the default settings; by default 2, or "
            "0 with --run.",
            show_default=False,
        ),
    ] = None,
    pruner: Annotated[
        Literal["hyperband", "asha", "none"],
        typer.Option(metavar="hyperband|asha|none", help="Pruner that stops unpromising trials early."),
    ] = "hyperband",
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The study's name; derived from its settings by default.", show_default=False
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database shared by several machines; by default a file in --out.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes that share the trials.")] = 1,
    seed: options.Seed = None,
    epochs: options.Epochs = None,
    device: options.Device = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the studies.")] = Path("studies"),
    no_page: options.NoPage = False,
    callback: options.Callbacks = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Tune settings on the validation split; run the same command again to continue a study.

    Anchor priors are fitted without training, and post-processing is tuned on stored candidates. At the end, the best
    and the default settings are retrained with fresh seeds, one is chosen on the validation split, and both are tested once.
    """
    from bench.process.interrupts import stop_request
    from bench.process.invocation import command_arguments
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.provenance import command_line
    from bench.settings.presets import variants_of
    from bench.tune.plan import TuningPlan
    from bench.tune.tuner import tune
    from metrics.atomic_files import require_writable

    require_writable(out, "--out", folder=True)
    if not space:
        raise InputError(
            "--space: name what to tune, as in --space nms train.lr (`python -m bench tune --help`)"
        )
    file = run_ / "config.toml" if run_ is not None else config
    if run_ is not None and config is not None:
        raise InputError("--run and --config: a run has its own settings; give one of the two")
    name, preset_ = options.chosen_entry(variant, preset, file)
    if run_ is not None and variants_of(None, file) not in ([], [name]):
        raise InputError(f"--run {run_}: is of variant {variants_of(None, file)[0]!r}, not {name!r}")
    plan = TuningPlan(
        variant=name,
        space=tuple(space),
        sources=options.setting_sources(
            data, config, set_, preset_, format=format, seed=seed, epochs=epochs, device=device
        ),
        objectives=tuple(objective or ()),
        limits=tuple(limit or ()),
        trials=trials,
        out=out,
        run=run_,
        fresh_seeds=fresh_seeds,
        workers=workers,
        storage=storage,
        study=study,
        pruner=pruner,
        command=command_line(command_arguments()),
        callbacks=tuple(callback or ()),
        page=not no_page,
    )
    folder = tune(plan, Progress.auto(quiet), stop_request())
    page = None if no_page else folder.path / folder.PAGE
    if json:
        print_json({"folder": folder.path, "report": page, "study": folder.result})
    else:
        print_study(folder, page)


def print_study(folder: StudyFolder, page: Path | None = None, console: Console | None = None) -> None:
    """Print the fit of anchor priors, the finalists, trials, importances, the gain, and paths; that of the page if it was written."""
    from rich.console import Console

    console = console or Console()
    evaluation = folder.result.final_evaluation
    assert evaluation is not None
    if evaluation.prior_fit:
        console.print(_anchor_table(evaluation))
    console.print(_finalist_table(evaluation))
    for line in [*_lines(folder, evaluation), *([] if page is None else [f"report: {page}"])]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _anchor_table(evaluation: FinalEvaluation) -> Table:
    from reports.records.final_evaluation import finalist_name

    table = _empty_table(
        "Fit of anchor priors", ("settings", "split", "size"), ("objects", "recall", "mean IoU")
    )
    for row in evaluation.prior_fit:
        if row.objects:
            counts = (f"{row.objects:,}", fixed(row.recall), fixed(row.mean_iou))
            table.add_row(finalist_name(row.trial), row.split, row.group, *counts)
    return table


def _finalist_table(evaluation: FinalEvaluation) -> Table:
    from reports.sections.tuning import COLUMNS

    limited = tuple(evaluation.finalists[0].measured)
    numbers = (*(title.lower() for title in COLUMNS), *limited)
    table = _empty_table(f"Final evaluation ({evaluation.objective.text})", ("settings",), numbers)
    for each in evaluation.finalists:
        note = (
            " (chosen)" if each.trial == evaluation.chosen else " (over the limit)" if each.exceeded else ""
        )
        table.add_row(
            each.name + note,
            fixed(each.tuned),
            _mean_and_range(each.retrained),
            signed(each.study_minus_fresh),
            _test(each),
            signed(each.validation_minus_test),
            *(f"{each.measured[name]:.4g}" for name in limited),
        )
    return table


def _empty_table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False, title=title, title_justify="left")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _lines(folder: StudyFolder, evaluation: FinalEvaluation) -> Iterator[str]:
    from reports.sections.tuning_text import looks_text

    for stage in folder.stages:
        states = ", ".join(f"{count} {state}" for state, count in sorted(stage.states.items()))
        yield f"{stage.stage} trials: {states}"
    for stage in folder.stages:
        if stage.importances:
            shares = ", ".join(f"{path} {share:.2f}" for path, share in stage.by_importance[:5])
            yield f"importances in {stage.stage} ({stage.importance_evaluator}): {shares}"
    if evaluation.gain is not None:
        split = plural(evaluation.gain.images, "test image") if evaluation.gain.images else "the test split"
        yield f"gain on {split}, chosen minus default: {gain_text(evaluation.gain)}"
        if evaluation.gain.seeds == 1 and evaluation.gain.interval is not None:
            yield "one set of weights each: the difference may have another sign with other seeds"
    if evaluation.note:
        yield evaluation.note
    winner = evaluation.winner
    if not winner.retrained and not winner.test:
        yield "nothing was trained: priors that fit better do not guarantee a better detector"
    elif not winner.retrained:
        yield "not retrained with fresh seeds: the validation value is the one in the study, by which the settings were selected"
    if folder.result.test_looks:
        yield looks_text(folder.result)
    changed = ", ".join(f"{path}={_setting(value)}" for path, value in winner.values.items())
    yield f"chosen settings: {changed or 'the defaults'}"
    yield f"configuration: {folder.path / folder.WINNER}"


def gain_text(gain: Gain) -> str:
    """``+0.035 [+0.001, +0.070], better in 96% of bootstrap replicates (decisive)``."""
    text = signed(gain.delta)
    if gain.interval is not None:
        text += f" [{signed(gain.interval[0])}, {signed(gain.interval[1])}]"
    if gain.p_better is not None:
        text += f", better in {_percentage(gain.p_better)} of bootstrap replicates"
    return f"{text} ({f'not decisive: {gain.doubt}' if gain.doubt else 'decisive'})"


def _percentage(share: float) -> str:
    """``83%``; 0% and 100% only where they are exact."""
    if 0 < share < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _mean_and_range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    spread = f" ({fixed(min(known))} to {fixed(max(known))})" if len(known) > 1 else ""
    return f"{fixed(fmean(known))}{spread}"


def _test(finalist: Finalist) -> str:
    if finalist.test_interval is None:
        return _mean_and_range(finalist.test)
    low, high = finalist.test_interval
    return f"{fixed(finalist.mean_test)} [{fixed(low)}, {fixed(high)}]"


def _setting(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
