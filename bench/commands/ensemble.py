"""``bench ensemble``: fuse the detections of finished runs into a new run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from metrics.plurals import plural

if TYPE_CHECKING:
    from reports.records.run import RunFolder

NAME = "ensemble"
EXAMPLES = """Examples:

python -m bench ensemble runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench ensemble runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d --weights 1 2

python -m bench ensemble runs/fcos-shapes-*-* --name fcos-by-three && python -m bench compare runs/*-shapes-*
"""


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Two or more run folders, or folders of run folders, all evaluated on the same images.",
            show_default=False,
        ),
    ],
    iou: Annotated[
        float,
        typer.Option(metavar="IOU", min=0, max=1, help="IoU above which detections are fused."),
    ] = 0.55,
    weights: Annotated[
        list[float] | None,
        typer.Option(
            metavar="NUMBER ...",
            help="Weights of the runs, in the same order; only the ratios matter. By default all are equal.",
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN ...",
            help="Choose the weights by AP on validation images: for each run, in the same order, its run on the validation "
            "images (`reevaluate RUN --set evaluate.split=val`).",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name in tables; by default 'ensemble' followed by the variants.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = Path("runs"),
    no_page: options.NoPage = False,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Fuse the detections of several runs (weighted boxes fusion) into a run that `compare` accepts.

    No image is predicted again. A fused box is the mean of its boxes weighted by score; its score decreases with every
    run that did not detect it. With weights, each run counts accordingly.
    """
    from bench.commands.results_table import results_json
    from bench.process.invocation import command_arguments
    from bench.process.json_value import print_json
    from bench.process.log import collect_warnings
    from bench.process.progress import Progress
    from bench.runs.comparison import open_runs
    from bench.runs.ensemble import fuse_runs
    from bench.runs.external_run import save_external
    from bench.runs.provenance import command_line
    from metrics.atomic_files import require_writable
    from metrics.evaluator import evaluate

    require_writable(out, "--out", folder=True)
    with collect_warnings() as messages:
        opened = [run for of_path in open_runs(runs, Progress.auto()) for run in of_path]
        chosen, how = _weights(opened, weights, validation, iou)
        detections = fuse_runs(opened, iou, chosen)
    evaluation = evaluate(opened[0].truth, detections)
    run = save_external(
        name or "-".join(["ensemble", *dict.fromkeys(run.result.variant for run in opened)]),
        evaluation,
        out,
        data=opened[0].result.data.name,
        format=opened[0].result.data.format,
        source=f"weighted boxes fusion at IoU {iou:g} of {', '.join(_members(opened, chosen))}{how}",
        command=command_line(command_arguments(), show_paths),
        warnings=tuple(messages),
        show_paths=show_paths,
        page=not no_page,
    )
    page = None if no_page else run.path / "report.html"
    if json:
        print_json(results_json([run], page))
    else:
        print(evaluation)
        if page is not None:
            print(f"\nreport: {page}")


def _members(runs: Sequence[RunFolder], weights: Sequence[float] | None) -> list[str]:
    """Names of the runs, with their weights where they differ."""
    if weights is None:
        return [run.result.name for run in runs]
    return [f"{run.result.name} (weight {weight:g})" for run, weight in zip(runs, weights, strict=True)]


def _weights(
    runs: Sequence[RunFolder], weights: Sequence[float] | None, validation: Sequence[Path] | None, iou: float
) -> tuple[Sequence[float] | None, str]:
    """Weights of the runs, None for equal ones, and how they were chosen."""
    from bench.process.progress import Progress
    from bench.runs.comparison import open_runs
    from bench.runs.ensemble_weights import search_weights
    from metrics.errors import InputError

    if validation is None:
        if weights is not None and len(weights) != len(runs):
            raise InputError(
                f"--weights: expected {plural(len(runs), 'number')}, one for each run, got {len(weights)}"
            )
        return weights, ""
    if weights is not None:
        raise InputError("--weights: --validation chooses the weights; leave out one of them")
    progress = Progress.auto()
    others = [run for of_path in open_runs(validation, progress) for run in of_path]
    with progress.stage("choosing weights") as stage:
        chosen, ap = search_weights(runs, others, iou, lambda best: stage.advance(ap=best))
    return chosen, f"; weights with the highest AP on validation images, {ap:.3f}"
