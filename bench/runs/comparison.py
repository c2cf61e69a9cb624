"""Comparison of several runs: which runs may be compared, the report, and the answers of the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data.splits import join_units
from bench.data.types import Split
from bench.process.progress import Progress
from bench.runs.finished_run import image_loader, label_map_loader
from bench.runs.folders import digest, is_partial, slug
from metrics.atomic_files import atomic_write
from metrics.compare import gate_json, groups_from_csv
from metrics.errors import InputError
from metrics.plurals import plural
from metrics.real_path import real_path
from metrics.registry import did_you_mean
from reports.analysis.comparison_options import NO_GROUPS, ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.records.decision import FILE as DECISION_FILE
from reports.records.decision import Decision
from reports.records.run import RunFolder
from reports.records.study import StudyFolder


def compare_runs(
    runs: Sequence[RunFolder],
    folder: Path,
    options: ComparisonOptions | None = None,
    split: Split | None = None,
    progress: Progress | None = None,
    show_paths: bool = False,
    studies: Sequence[StudyFolder] = (),
    decision: Decision | None = None,
) -> tuple[Path, ReportData]:
    """Write ``report.html`` about all runs and its tables into `folder`; with limits, also ``gate.json``.

    Args:
        runs: evaluated on the same truth, unless `options` restrict them to the images they share.
        folder: output folder.
        options: how runs are compared.
        split: has the images and label maps of the galleries; None if they are not available.
        progress: progress display.
        show_paths: keep absolute paths in the report.
        studies: studies that found settings of these runs; they get a section of the report.
        decision: that ended with these runs; it gets the first section, and its names of the models are those of the page.

    Returns:
        The path of the page, and what it reports.

    Raises:
        InputError: the runs were evaluated on different truth, two have the same name, or `options` do not fit them.
    """
    options = options or ComparisonOptions()
    if options.images == "same":
        require_same_truth(runs)
    with (progress or Progress()).stage("comparing runs", 1) as stage:
        images, label_maps = (None, None) if split is None else (image_loader(split), label_map_loader(split))
        names = None if decision is None else decision.names
        data = ReportData.from_runs(runs, images, show_paths, options, label_maps, names)
        from reports.pages import write_comparison  # imports Matplotlib

        page = write_comparison(data, folder, studies=studies, decision=decision)
        if options.limits:
            atomic_write(folder / "gate.json", gate_json(data.gate_results))
        stage.advance()
    return page, data


def by_data_set(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """The runs of each data set, in the order in which the data sets occur; all together unless a variant is in each of them.

    Runs are of one data set if it has the same name, or the same ground truth under another name. Different ground truth under
    one name is a data set that has changed, or two of its splits, whose runs cannot be compared.
    """
    units = join_units(
        [run.result.data.name for run in runs], [run.result.data.fingerprint for run in runs]
    ).tolist()
    groups = [
        [run for run, unit in zip(runs, units, strict=True) if unit == k] for k in range(max(units) + 1)
    ]
    shared = set.intersection(*({run.result.variant for run in group} for group in groups))
    return groups if shared else [list(runs)]


def compare_data_sets(
    groups: Sequence[Sequence[RunFolder]],
    folder: Path,
    options: Sequence[ComparisonOptions] | None = None,
    splits: Sequence[Split | None] | None = None,
    progress: Progress | None = None,
    show_paths: bool = False,
    title: str = "",
) -> tuple[Path, list[ReportData]]:
    """Write a page about the runs of each data set into a subfolder of `folder`, and ``report.html`` over all data sets.

    Args:
        groups: the runs of each data set, at least two of them.
        folder: output folder.
        options: how the runs of each data set are compared; without limits.
        splits: has the images of each data set, see `compare_runs`.
        progress: progress display.
        show_paths: keep absolute paths in the reports.
        title: heading of the page over all data sets.

    Returns:
        The path of the page over all data sets, and what the other pages report.

    Raises:
        InputError: as `compare_runs`.
    """
    reports, links = [], {}
    of_sets = zip(
        groups, options or [ComparisonOptions()] * len(groups), splits or [None] * len(groups), strict=True
    )
    for number, (runs, chosen, split) in enumerate(of_sets):
        name = f"{number + 1}-{slug(runs[0].result.data.name)}"
        _, data = compare_runs(runs, folder / name, chosen, split, progress, show_paths)
        reports.append(data)
        links[number] = f"{name}/report.html"
    from reports.pages import write_suite  # imports Matplotlib

    return write_suite(reports, folder, links, title=title), reports


def open_runs(paths: Sequence[Path], progress: Progress | None = None) -> list[list[RunFolder]]:
    """For each path, the run in it or the runs in its subfolders; a run that several paths lead to is opened once.

    Runs with equal names in different folders (the same settings under two versions of the program) get the folder as a
    prefix of their name: ``old/ssd-shapes-0-1a2b3c4d5e``. Folders of comparisons and of runs in progress, which ``runs/*``
    matches too, are left out with a message, unless there is nothing else.

    Args:
        paths: run folders, or folders of run folders.
        progress: shows the message.

    Raises:
        InputError: there is no finished run, or its result cannot be read.
    """
    found: dict[Path, Path] = {}  # run folder -> the path that led to it
    resolved = list(dict.fromkeys(real_path(path) for path in paths))
    messages = progress or Progress()
    others = [path for path in resolved if _is_no_run(path)]
    if len(others) < len(resolved):
        for path in others:
            messages.message(_left_out(path))
            resolved.remove(path)
    for path in resolved:
        inside = sorted(file.parent for file in path.glob(f"*/{RunFolder.RESULT}")) if path.is_dir() else []
        if inside:
            for partial in sorted(filter(is_partial, path.iterdir())):
                messages.message(_left_out(partial))
            inside = [folder for folder in inside if not is_partial(folder)] or inside
        alone = not inside or (path / RunFolder.RESULT).is_file()
        for folder in [path] if alone else inside:
            found.setdefault(folder, path)
    opened = {folder: RunFolder.open(folder) for folder in found}
    named = _with_unique_names(opened)
    given = dict.fromkeys(found.values())
    return [[named[folder] for folder in found if found[folder] == path] for path in given]


def is_comparison(folder: Path) -> bool:
    """Whether a folder is of a comparison or a decision: it has their tables or record, but no settings and no result."""
    absent = (RunFolder.RESULT, StudyFolder.RESULT, RunFolder.CONFIG)
    tables = ("leaderboard.csv", "data-sets.csv", DECISION_FILE)
    return any((folder / name).is_file() for name in tables) and not any(
        (folder / name).exists() for name in absent
    )


def chosen_groups(given: str | None, runs: Sequence[RunFolder]) -> str | Mapping[object, object] | None:
    """The value of ``--groups`` for the runs of one data set: groups by image if it names a CSV file, otherwise the name of a
    column, or none.

    Raises:
        InputError: the file cannot be used, or there is no such column.
    """
    if given is None or given == NO_GROUPS:
        return given
    catalog = runs[0].truth.catalog
    if given.lower().endswith(".csv"):
        return groups_from_csv(given, catalog)
    columns = ["folder", *catalog.image_columns]
    if given not in columns:
        hint = did_you_mean(given, columns) or f"; known: {', '.join(columns)}, or a CSV file"
        raise InputError(
            f"--groups {given}: the images of {runs[0].result.data.name} have no such column{hint}"
        )
    return given


def comparison_folder(runs: Sequence[RunFolder], out: Path) -> Path:
    """Default folder of a comparison; it does not depend on the order of the runs."""
    return out / f"comparison-{digest(sorted(run.result.name for run in runs))}"


def require_same_truth(runs: Sequence[RunFolder]) -> None:
    """Check that all runs were evaluated on the same images and objects.

    Raises:
        InputError: they were not; the message names the runs of each data set.
    """
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        groups.setdefault(run.result.data.fingerprint, []).append(run)
    if len(groups) < 2:
        _require_same_images(runs)
        return
    lists = []
    for fingerprint, members in groups.items():
        facts = members[0].result.data
        names = ", ".join(run.result.name for run in members)
        lists.append(
            f"{facts.name} {facts.split} ({plural(facts.images, 'image')}, {fingerprint[:10]}): {names}"
        )
    raise InputError(
        f"these runs were evaluated on different ground truth and cannot be compared: {'; '.join(lists)}; "
        "compare the runs of one data set, run the others again on the same --data, or use --images intersection to "
        "compare on the images they share"
    )


def _is_no_run(folder: Path) -> bool:
    return is_partial(folder) or is_comparison(folder)


def _left_out(folder: Path) -> str:
    reason = "a run in progress" if is_partial(folder) else "a comparison and not a run"
    return f"{folder.name}: left out, {reason}"


def _require_same_images(runs: Sequence[RunFolder]) -> None:
    """Check that runs on the same truth were evaluated on the same image files, as far as these are known."""
    by_content: dict[str, list[str]] = {}
    for run in runs:
        if run.result.data.content:
            by_content.setdefault(run.result.data.content, []).append(run.result.name)
    if len(by_content) > 1:
        groups = "; ".join(", ".join(names) for names in by_content.values())
        raise InputError(
            f"these runs were evaluated on the same ground truth but on different image files: {groups}; run those on "
            "the older files again"
        )


def _with_unique_names(opened: Mapping[Path, RunFolder]) -> dict[Path, RunFolder]:
    """The runs; where names clash, prefixed by as many parent folders as make them differ."""
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
