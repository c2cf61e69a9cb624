"""``bench compare``: one page about runs that are done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options

NAME = "compare"
EXAMPLES = """Examples:

python -m bench compare runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench compare runs/*-shapes-* --out comparison/
"""


def command(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where the page goes; by default beside the runs.", show_default=False
        ),
    ] = None,
    show_paths: options.ShowPaths = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Compare runs that are done: report.html, leaderboard.csv and metrics.csv.

    All must have been measured on the same images and objects.
    """
    from bench.commands.showing import show_results
    from bench.comparison import compare_runs, comparison_folder, images_of_runs, require_same_truth
    from bench.progress import Progress
    from reports.results import RunFolder

    opened = [RunFolder.open(path) for path in dict.fromkeys(path.resolve() for path in runs)]
    require_same_truth(opened)
    folder = out or comparison_folder(opened, Path(runs[0]).parent)
    progress = Progress.fitting(quiet)
    page = compare_runs(opened, folder, images_of_runs(opened), progress, show_paths)
    show_results(opened, page)
