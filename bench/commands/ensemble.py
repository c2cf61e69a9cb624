"""``bench ensemble``: fuse the detections of finished runs into a new run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options

NAME = "ensemble"
EXAMPLES = """Examples:

python -m bench ensemble runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

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
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name in tables; by default 'ensemble' and the variants.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = Path("runs"),
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Fuse the detections of several runs (weighted boxes fusion) into a run that `compare` accepts.

    No image is predicted again. A fused box is the mean of its boxes weighted by score; its score decreases with every
    run that did not detect it.
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
        detections = fuse_runs(opened, iou)
    evaluation = evaluate(opened[0].truth, detections)
    run = save_external(
        name or "-".join(["ensemble", *dict.fromkeys(run.result.variant for run in opened)]),
        evaluation,
        out,
        data=opened[0].result.data.name,
        source=f"weighted boxes fusion at IoU {iou:g} of {', '.join(run.result.name for run in opened)}",
        command=command_line(command_arguments(), show_paths),
        warnings=tuple(messages),
        show_paths=show_paths,
    )
    page = run.path / "report.html"
    if json:
        print_json(results_json([run], page))
    else:
        print(f"{evaluation}\n\nreport: {page}")
