"""Several runs on one page: which may be compared, where the page goes, and where its pictures come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.process.progress import Progress
from bench.runs.folders import digest
from metrics.compare import groups_from_csv
from metrics.errors import InputError
from reports.analysis.report_data import ComparisonOptions, ReportData
from reports.pages import write_comparison
from reports.records.run import RunFolder
from reports.records.study import StudyFolder

Images = Callable[[Any], NDArray[np.uint8]]


def compare_runs(
    runs: Sequence[RunFolder],
    folder: Path,
    images: Images | None = None,
    progress: Progress | None = None,
    show_paths: bool = False,
) -> Path:
    """Write ``report.html`` and what lies beside it about all runs into `folder`.

    Returns:
        The path of the page.

    Raises:
        InputError: the runs were measured on different truth, or two have one name.
    """
    return compare_on_terms(runs, folder, ComparisonOptions(), images, progress, show_paths)[0]


def compare_on_terms(
    runs: Sequence[RunFolder],
    folder: Path,
    options: ComparisonOptions,
    images: Images | None = None,
    progress: Progress | None = None,
    show_paths: bool = False,
    studies: Sequence[StudyFolder] = (),
) -> tuple[Path, ReportData]:
    """Like `compare_runs`, on terms that a user set; the page, and the comparison that it is about.

    Studies in which settings of these runs were found get a section of the page.

    Raises:
        InputError: the runs were measured on different truth and the terms do not cut them to what they share, two have
            one name, or the terms do not fit them.
    """
    if options.images == "same":
        require_same_truth(runs)
    with (progress or Progress()).stage("comparison", 1) as stage:
        comparison = ReportData.from_runs(runs, images, show_paths, options)
        page = write_comparison(comparison, folder, studies=studies)
        stage.advance()
    return page, comparison


def open_runs(paths: Sequence[Path]) -> list[list[RunFolder]]:
    """For each path the run in it, or the runs in its folders; no run twice.

    Runs of one name in different folders (the same settings, made by two versions of a program) are named by folder, too:
    ``old/ssd-shapes-0-1a2b3c4d5e``.

    Raises:
        InputError: there is no finished run, or its result cannot be read.
    """
    found: dict[Path, Path] = {}  # the run's folder: the path that it was found by
    for path in dict.fromkeys(path.resolve() for path in paths):
        inside = sorted(file.parent for file in path.glob(f"*/{RunFolder.RESULT}")) if path.is_dir() else []
        alone = not inside or (path / RunFolder.RESULT).is_file()
        for folder in [path] if alone else inside:
            found.setdefault(folder, path)
    opened = {folder: RunFolder.open(folder) for folder in found}
    named = _named_apart(opened)
    places = dict.fromkeys(found.values())
    return [[named[folder] for folder in found if found[folder] == place] for place in places]


def chosen_groups(given: str | None, runs: Sequence[RunFolder]) -> str | Mapping[object, object] | None:
    """What ``--groups`` says: a table's groups by image, where it names a CSV file; else a column's name."""
    if given is None or not given.lower().endswith(".csv"):
        return given
    return groups_from_csv(given, runs[0].truth.catalog)


def comparison_folder(runs: Sequence[RunFolder], out: Path) -> Path:
    """Where a comparison of these runs goes: the same runs in any order have the same folder."""
    return out / f"comparison-{digest(sorted(run.result.name for run in runs))}"


def require_same_truth(runs: Sequence[RunFolder]) -> None:
    """Refuse runs that were measured on different images or objects.

    Raises:
        InputError: the runs fall into groups by what they were measured on; each is named.
    """
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        groups.setdefault(run.result.data.fingerprint, []).append(run)
    if len(groups) < 2:
        return
    told = []
    for fingerprint, members in groups.items():
        facts = members[0].result.data
        names = ", ".join(run.result.name for run in members)
        told.append(f"{facts.name} {facts.split} ({facts.images} images, {fingerprint[:10]}): {names}")
    raise InputError(
        f"these runs were measured on different truth and cannot be compared: {'; '.join(told)}; "
        "compare those of one group, run the others again on the same --data, or compare on the images that they share "
        "with --images intersection"
    )


def _named_apart(opened: Mapping[Path, RunFolder]) -> dict[Path, RunFolder]:
    """The runs, those of one name with as many folders before it as tell them apart."""
    names = {folder: run.result.name for folder, run in opened.items()}
    for depth in range(1, max((len(folder.parts) for folder in opened), default=0)):
        count = Counter(names.values())
        clashing = [folder for folder in opened if count[names[folder]] > 1]
        if not clashing:
            break
        for folder in clashing:
            before = folder.parent.parts[-depth:]
            names[folder] = "/".join((*before, opened[folder].result.name))
    return {
        folder: run
        if names[folder] == run.result.name
        else run.replace(result=run.result.model_copy(update={"name": names[folder]}))
        for folder, run in opened.items()
    }
