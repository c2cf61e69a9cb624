"""``bench ensemble``: fuse what finished runs found, and keep it as a run."""

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
            metavar="RUN...",
            help="Folders of runs on the same images, or folders that hold some; two or more.",
            show_default=False,
        ),
    ],
    iou: Annotated[
        float, typer.Option(metavar="IOU", min=0, max=1, help="Above it two runs have found the same object.")
    ] = 0.55,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What tables call it; by default ensemble and the variants.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = Path("runs"),
    show_paths: options.ShowPaths = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Fuse what runs found in the same images (weighted boxes fusion), as a run that `compare` takes.

    Nothing is predicted again: a cluster of detections has the mean of their boxes by score, and a score that falls
    with every run that did not find it.
    """
    from bench.process.invocation import command_arguments
    from bench.process.log import collect_warnings
    from bench.runs.ensemble import fuse_runs
    from bench.runs.external_run import save_external
    from bench.runs.provenance import command_line
    from bench.runs.report import open_runs
    from metrics.evaluator import evaluate

    with collect_warnings() as messages:
        opened = [run for of_path in open_runs(runs) for run in of_path]
        found = fuse_runs(opened, iou)
    truth = opened[0].truth
    evaluation = evaluate(truth, found)
    print(evaluation)
    made = save_external(
        name or "-".join(["ensemble", *dict.fromkeys(run.result.variant for run in opened)]),
        truth,
        found,
        evaluation,
        out,
        data=opened[0].result.data.name,
        source=f"weighted boxes fusion at IoU {iou:g} of {', '.join(run.result.name for run in opened)}",
        command=command_line(command_arguments(), show_paths),
        warnings=tuple(messages),
        show_paths=show_paths,
    )
    print(f"\nreport: {made.path / 'report.html'}")
