"""``bench compare``: a report about finished runs, and a regression gate for continuous integration."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG, SEVERAL
from metrics.errors import InputError, InputWarning, RegressionError

if TYPE_CHECKING:
    from metrics.compare import GateResult

NAME = "compare"
EXAMPLES = """Examples:

python -m bench compare runs/ssd-shapes-0-1a2b3c4d5e runs/fcos-shapes-0-6f7a8b9c0d

python -m bench compare runs/*-shapes-* --out comparison/

python -m bench compare runs/* --study studies/ssd-shapes-nms-1a2b3c4d5e

python -m bench compare old/ new/ --fail-on-regression ap=0.5 ap50=1
"""


class ImageChoice(StrEnum):
    """Images that runs are compared on."""

    same = "same"
    intersection = "intersection"


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders, or folders of run folders; for a gate, the baseline comes first.",
            show_default=False,
        ),
    ],
    fail_on_regression: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on-regression",
            metavar=f"MEASURE=POINTS{SEVERAL}",
            help="Exit with code 5 if a model is worse than the baseline by more than this many percentage points "
            "throughout the 95% confidence interval: ap=0.5 allows AP to drop from 34.1 to 33.6; ap:car=2 is for one class.",
            show_default=False,
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Resample related images (of one video, patient or scene) together: a key of COCO's images, "
            "'folder', or a CSV file with columns image,group; none for no groups. By default the data set's own (data.groups).",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        ImageChoice,
        typer.Option(
            metavar="same|intersection",
            help="Require the same images in all runs, or compare on the images they share.",
        ),
    ] = ImageChoice.same,
    resamples: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Bootstrap resamples for intervals; 0 turns intervals off."),
    ] = 1000,
    study: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Study of `bench tune` to include in the report; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the report; by default next to the runs.", show_default=False
        ),
    ] = None,
    png: Annotated[bool, typer.Option("--png", metavar=FLAG, help="Also write the figures as PNG.")] = False,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Compare finished runs, and write report.html and all of its numbers as CSV.

    All runs of a data set must be evaluated on the same images and objects; runs of several data sets get a page each, and one with
    the ranks of the models over all of them. With --fail-on-regression, the exit code is 5 if a model
    is worse than the baseline; the results are also in gate.json. An inconclusive gate is a warning, or a failure
    with --strict.
    """
    from bench.commands.results_table import results_json, show_data_sets, show_results
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import (
        by_data_set,
        chosen_groups,
        compare_data_sets,
        compare_runs,
        comparison_folder,
        open_runs,
    )
    from bench.runs.finished_run import find_split
    from metrics.atomic_files import require_writable
    from metrics.compare import parse_limit
    from reports.analysis.comparison_options import ComparisonOptions
    from reports.elements.formatting import printable
    from reports.records.study import StudyFolder

    require_writable(out or Path(runs[0]).parent, "--out", folder=True)
    studies = [StudyFolder.open(path) for path in study or ()]
    limits = tuple(parse_limit(text, option="--fail-on-regression") for text in fail_on_regression or ())
    progress = Progress.auto(quiet)
    by_path = open_runs(runs, progress)
    opened = [run for of_path in by_path for run in of_path]
    groups_of_runs = by_data_set(opened)
    several = len(groups_of_runs) > 1 and images is ImageChoice.same
    if several and (limits or studies):
        option = "--fail-on-regression" if limits else "--study"
        names = ", ".join(each[0].result.data.name for each in groups_of_runs)
        raise InputError(
            f"{option}: for runs of one data set, but these are of {names}; compare those of one data set"
        )
    common = ComparisonOptions(
        resamples=resamples,
        images=images.value,
        limits=limits,
        baseline=frozenset(run.result.name for run in by_path[0]),
        png=png,
    )
    if several:
        page, reports = compare_data_sets(
            groups_of_runs,
            out or comparison_folder(opened, Path(runs[0]).parent),
            [replace(common, groups=chosen_groups(groups, each)) for each in groups_of_runs],
            [find_split(each) for each in groups_of_runs],
            progress,
            show_paths,
        )
        show_data_sets(reports, page, json)
        return
    page, data = compare_runs(
        opened,
        out or comparison_folder(opened, Path(runs[0]).parent),
        replace(common, groups=chosen_groups(groups, opened)),
        find_split(opened),
        progress,
        show_paths,
        studies,
    )
    if json:
        gate = [result.as_dict() for result in data.gate_results]
        print_json(results_json(data.folders, page) | {"notes": data.notes, "gate": gate})
    else:
        show_results(data.folders, page)
        for line in [*(f"note: {note}" for note in data.notes), *map(str, data.gate_results)]:
            print(printable(line))
    for unused in data.unused_columns:
        warnings.warn(unused.text, InputWarning, stacklevel=1)
    check_gate(data.gate_results, strict)


def check_gate(results: Sequence[GateResult], strict: bool) -> None:
    """Fail if a model is worse than the limits allow.

    Args:
        results: of all models and limits.
        strict: fail also if there are too few images to decide.

    Warns:
        InputWarning: there are too few images to decide.

    Raises:
        RegressionError: a model is worse than a limit allows.
    """
    regressed = dict.fromkeys(str(result.limit) for result in results if result.state == "regressed")
    if regressed:
        raise RegressionError(
            f"worse than the limit allows: {', '.join(regressed)}; gate.json next to the report has the intervals"
        )
    undecided = [result.explanation for result in results if result.state == "inconclusive"]
    if undecided and strict:
        raise RegressionError(f"{undecided[0]} (--strict)")
    for reason in undecided:
        warnings.warn(reason, InputWarning, stacklevel=1)
