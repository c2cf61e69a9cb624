"""``bench compare``: one page about runs that are done, and a gate that a new one has to pass."""

from __future__ import annotations

import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from metrics.errors import InputWarning, RegressionError

if TYPE_CHECKING:
    from metrics.compare import Ruling

NAME = "compare"
EXAMPLES = """Examples:

python -m bench compare runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench compare runs/*-shapes-* --out comparison/

python -m bench compare runs/* --study studies/ssd-shapes-nms-1a2b3c4d5e

python -m bench compare old/ new/ --fail-on-regression ap=0.5 ap50=1
"""


class ImageChoice(StrEnum):
    """Which images runs are compared on."""

    same = "same"
    intersection = "intersection"


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of runs, or folders that hold some; the first is the old one of a gate.",
            show_default=False,
        ),
    ],
    fail_on_regression: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on-regression",
            metavar="MEASURE=POINTS ...",
            help="Exit with 5 where a new model is worse than the old one by more points of 100, and its interval says "
            "so; ap=0.5 lets AP fall from 34.1 to 33.6, ap:car=2 is for one class.",
            show_default=False,
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Images that are alike (of one video, patient, scene) are drawn together: a key of COCO's images, "
            "folder, or a CSV of image,group.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        ImageChoice,
        typer.Option(help="Refuse runs on different images, or compare on those that they share."),
    ] = ImageChoice.same,
    resamples: Annotated[
        int, typer.Option(metavar="N", min=0, help="How often images are resampled for intervals.")
    ] = 1000,
    study: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="A study of bench tune, for a section of the page.", show_default=False
        ),
    ] = None,
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
    """Compare runs that are done: report.html, and every number of it as CSV beside it.

    All must have been measured on the same images and objects. With --fail-on-regression the others are held against
    the first: exit code 5 says that one is worse. Where the images cannot tell, that is a warning, and with --strict a
    failure, too.
    """
    from bench.commands.results_table import show_results
    from bench.process.progress import Progress
    from bench.runs.finished_run import find_image_loader
    from bench.runs.report import chosen_groups, compare_on_terms, comparison_folder, open_runs
    from metrics.compare import parse_limit
    from reports.analysis.report_data import ComparisonOptions
    from reports.elements.formatting import printable
    from reports.records.study import StudyFolder

    studies = [StudyFolder.open(path) for path in study or ()]
    limits = tuple(parse_limit(text) for text in fail_on_regression or ())
    by_path = open_runs(runs)
    opened = [run for of_path in by_path for run in of_path]
    how = ComparisonOptions(
        resamples=resamples,
        groups=chosen_groups(groups, opened),
        images=images.value,
        limits=limits,
        baseline=frozenset(run.result.name for run in by_path[0]),
    )
    folder = out or comparison_folder(opened, Path(runs[0]).parent)
    pictures = find_image_loader(opened)
    page, comparison = compare_on_terms(
        opened, folder, how, pictures, Progress.fitting(quiet), show_paths, studies
    )
    show_results(comparison.folders, page)
    for note in comparison.notes:
        print(f"note: {printable(note)}")
    for unused in comparison.unused_columns:
        warnings.warn(unused, InputWarning, stacklevel=1)
    judge(comparison.rulings, strict)


def judge(rulings: list[Ruling], strict: bool) -> None:
    """Print what the gate says, a line each, and fail where it was not passed.

    Args:
        rulings: of all models and limits.
        strict: fail, too, where the images cannot tell.

    Warns:
        InputWarning: the images cannot tell.

    Raises:
        RegressionError: a model is worse than is allowed.
    """
    from reports.elements.formatting import printable

    for ruling in rulings:
        print(printable(str(ruling)))
    regressed = [str(ruling.limit) for ruling in rulings if ruling.state == "regressed"]
    if regressed:
        named = ", ".join(dict.fromkeys(regressed))
        raise RegressionError(f"worse than is allowed: {named}; the lines above say by how much")
    open_ = [ruling.why_open for ruling in rulings if ruling.state == "open"]
    if open_ and strict:
        raise RegressionError(f"{open_[0]} (--strict)")
    for why in open_:
        warnings.warn(why, InputWarning, stacklevel=1)
