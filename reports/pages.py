"""Write pages: reports on runs, on studies and on data sets, each with the tables and figures that it links to.

No other module writes pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.atomic_files import atomic_write_together
from metrics.plurals import agree
from reports.analysis import folds as fold_analysis
from reports.analysis import learning_curves as learning_analysis
from reports.analysis import robustness as robustness_analysis
from reports.analysis import shifts as shift_analysis
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.gallery_images import text_size
from reports.analysis.leaderboard import run_tables
from reports.analysis.mask_results import MaskResults, mask_results
from reports.analysis.report_data import Images, ReportData
from reports.analysis.sample_images import SampleImage
from reports.analysis.speed import Speed, speed_of
from reports.elements import formatting
from reports.elements.page import UNCOMMITTED, Badge, Document, Section
from reports.elements.page_template import json_block, legend_entry, page_rules, render
from reports.records.csv import to_csv
from reports.records.data_check import DataCheck
from reports.records.decision import Decision
from reports.records.run import RunFolder
from reports.records.study import StudyFolder
from reports.sections import (
    budget,
    calibration,
    classes,
    compression,
    confusions,
    curves,
    data,
    errors,
    folds,
    gallery,
    latency,
    learning_curves,
    mask_tables,
    masks,
    pairs,
    reproducibility,
    robustness,
    shifts,
    slices,
    speed_accuracy,
    thresholds,
    training,
    tuning,
    verdict,
)
from reports.sections import decision as decision_section
from reports.sections.data_page import compose_data_check
from reports.sections.decision_text import before_verdict
from reports.sections.study_page import compose_study
from reports.sections.suite_page import compose_suite

MASKS_SHARE = 0.3
"""Largest share of a page that the images of the section on masks take."""


def write_report(
    runs: Sequence[RunFolder],
    out: str | Path,
    images: Images | None = None,
    *,
    title: str = "",
    max_mb: float = 8.0,
    show_paths: bool = False,
    options: ComparisonOptions | None = None,
    label_maps: Images | None = None,
) -> Path:
    """Write a report on runs: a page, and its tables and figures in the same folder.

    The tables are CSV files (``leaderboard.csv``, ``metrics.csv``, ``standings.csv``, ``pairwise.csv`` and others that the
    page links to), the figures ``figures/*.svg``. The same runs and images give the same bytes.

    Args:
        runs: all evaluated on the same truth; runs that differ only in their seed are one model.
        out: the page, or a folder, in which the page is ``report.html``.
        images: loads the images of the gallery; the page reports images that cannot be loaded.
        title: heading of the page; by default from the name of the data set.
        max_mb: maximum size of the page in megabytes (10**6 bytes); images beyond it are left out of the gallery.
        show_paths: show absolute paths, which may contain a user's name, in full.
        options: resamples, groups of images, limits, whether figures are also written as PNG.
        label_maps: loads the label maps of the truth, for the images of the section on masks.

    Returns:
        The path of the page.

    Raises:
        InputError: no run, two of the same name, or runs on different truth.
        MachineError: the files cannot be written; existing files are kept.
    """
    return write_comparison(
        ReportData.from_runs(runs, images, show_paths, options, label_maps), out, title=title, max_mb=max_mb
    )


def write_comparison(
    report: ReportData,
    out: str | Path,
    *,
    title: str = "",
    max_mb: float = 8.0,
    studies: Sequence[StudyFolder] = (),
    decision: Decision | None = None,
) -> Path:
    """Write a report on runs that have been evaluated; the other arguments are those of `write_report`.

    Args:
        report: the runs.
        out: the page or its folder.
        title: heading of the page.
        max_mb: maximum size of the page.
        studies: studies of the settings of these runs, which get a section.
        decision: that ended with these runs; it gets the first section.

    Raises:
        InputError: the limits do not apply to these runs.
        MachineError: the files cannot be written; existing files are kept.
    """
    return _write(_compose_report(report, title, int(max_mb * 1e6), studies, decision), Path(out))


def write_study_page(
    folder: StudyFolder, out: str | Path | None = None, *, title: str = "", show_paths: bool = False
) -> Path:
    """Write a report on a study: a page, and its figures, trials and result in the same folder.

    The same study gives the same bytes.

    Args:
        folder: of the last stage; earlier stages are included if their folders still exist next to it.
        out: the page, or a folder, in which the page is ``report.html``; by default the folder of the study.
        title: heading of the page; by default from variant and data set.
        show_paths: show absolute paths, which may contain a user's name, in full.

    Returns:
        The path of the page.

    Raises:
        MachineError: the files cannot be written; existing files are kept.
    """
    out = folder.path if out is None else Path(out)
    return _write(compose_study(folder, title=title, show_paths=show_paths), out)


def write_suite(
    reports: Sequence[ReportData], out: str | Path, links: Mapping[int, str] | None = None, *, title: str = ""
) -> Path:
    """Write a report on models over several data sets: a page, its tables and figures in the same folder.

    Args:
        reports: one for each data set, at least two; models are matched by their labels.
        out: the page, or a folder, in which the page is ``report.html``.
        links: page of each data set by its place in `reports`, relative to the folder.
        title: heading of the page.

    Returns:
        The path of the page.

    Raises:
        MachineError: the files cannot be written; existing files are kept.
    """
    return _write(compose_suite(reports, links, title=title), Path(out))


def write_data_page(
    check: DataCheck,
    samples: Iterable[SampleImage],
    out: str | Path,
    *,
    title: str = "",
    max_mb: float = 5.0,
    show_paths: bool = False,
) -> Path:
    """Write a page on a data check: findings, plots and sample images; its figures and ``check.json`` in the same folder.

    The same check and samples give the same bytes.

    Args:
        check: the data check.
        samples: images to show, the most important first; they are loaded one by one.
        out: the page, or a folder, in which the page is ``report.html``.
        title: heading of the page; by default from the name of the data set.
        max_mb: maximum size of the page in megabytes (10**6 bytes); images beyond it are left out.
        show_paths: show absolute paths, which may contain a user's name, in full.

    Returns:
        The path of the page.

    Raises:
        MachineError: the files cannot be written; existing files are kept.
    """
    document = compose_data_check(check, samples, int(max_mb * 1e6), title=title, show_paths=show_paths)
    return _write(document, Path(out))


def _write(document: Document, out: Path) -> Path:
    """Write the files of a document and then its page, `out` or ``report.html`` in the folder `out`."""
    page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    files = {page.parent / name: content for name, content in document.files.items()}
    return atomic_write_together(files, page, document.html)


def _compose_report(
    report: ReportData,
    title: str,
    max_bytes: int,
    studies: Sequence[StudyFolder],
    decision: Decision | None = None,
) -> Document:
    sliced, compared, speed = slices.slices_of(report), slices.comparison_of(report), speed_of(report)
    label_maps = mask_results(report)
    by_fold = fold_analysis.fold_results(report)
    learning = learning_analysis.learning_results(report)
    corrupted = robustness_analysis.robustness_results(report)
    shifted = shift_analysis.shifts_of(report)
    before = [
        decision_section.section(report, decision),
        verdict.section(
            report, speed, before_verdict(decision) if decision and len(report.labels) > 1 else ""
        ),
        pairs.section(report),
        folds.section(report, by_fold),
        learning_curves.section(report, learning),
        speed_accuracy.section(report, speed),
        compression.section(report, speed),
        curves.section(report),
        thresholds.section(report),
        classes.section(report),
        masks.section(report, label_maps, int(MASKS_SHARE * max_bytes)) if label_maps else None,
        slices.section(report, sliced, compared),
        robustness.section(report, corrupted),
        shifts.section(report, shifted),
        errors.section(report),
        calibration.section(report),
    ]
    after = [
        tuning.section(studies),
        training.section(report),
        latency.section(report, speed),
        data.section(report),
        budget.section(report),
        reproducibility.section(report),
    ]
    # The gallery gets the remaining bytes, minus a margin for its headings and method.
    others = _render(report, speed, title, _present([*before, *after]))
    remaining = max_bytes - len(others.encode()) - 20_000
    sections = _present([*before, gallery.section(report, remaining), *after])
    files = dict(_files(report, sections, sliced, speed, label_maps))
    if label_maps is not None:
        files.update(mask_tables.csv_files(report, label_maps))
    if by_fold is not None:
        files["folds.csv"] = to_csv(fold_analysis.rows(report, by_fold))
        if by_fold.differences:
            files["fold-differences.csv"] = to_csv(fold_analysis.difference_rows(report, by_fold))
    if learning is not None:
        files["learning-curves.csv"] = to_csv(learning_analysis.rows(report, learning))
        files["learning-fits.csv"] = to_csv(learning_analysis.fit_rows(report, learning))
    if corrupted is not None:
        files["robustness.csv"] = to_csv(robustness_analysis.rows(report, corrupted))
    if shifted:
        files["shifts.csv"] = to_csv(shift_analysis.rows(report, shifted))
    if decision is not None:
        files |= decision_section.files(decision)
    if compared is not None:
        files["slice-intervals.csv"] = to_csv(pd.DataFrame([asdict(row) for row in compared.intervals]))
    return Document(_render(report, speed, title, sections), files)


def _present(sections: Sequence[Section | None]) -> list[Section]:
    return [section for section in sections if section is not None]


def _render(report: ReportData, speed: Speed, title: str, sections: Sequence[Section]) -> str:
    context: dict[str, Any] = {
        "title": formatting.printable(title) or f"Detectors on {formatting.printable(report.data.name)}",
        "facts": _facts(report),
        "badges": _badges(report, speed),
        "models": [legend_entry(number, label) for number, label in enumerate(report.labels)],
        "sections": sections,
        "payload": json_block({"thresholds": thresholds.payload(report)}),
        "rules": page_rules(len(report.models)),
        "text_size": text_size,
        "png": report.options.png,
    }
    return render(context)


def _files(
    report: ReportData,
    sections: Sequence[Section],
    sliced: slices.Slices,
    speed: Speed,
    label_maps: MaskResults | None,
) -> Iterator[tuple[str, bytes | str]]:
    evaluations = [run.evaluation for run in report.runs]
    of_masks = None if label_maps is None else label_maps.statistics
    labels = {run.result.name: model.label for model in report.models for run in model.runs}
    yield from run_tables(report.folders, evaluations, report.statistics, of_masks, labels).items()
    if report.statistics is not None:
        yield "standings.csv", to_csv(report.statistics.to_frame())
        if len(report.models) > 1:
            yield "pairwise.csv", to_csv(report.statistics.pairwise_to_frame())
    if report.influence is not None:
        yield "influence.csv", to_csv(report.influence.to_frame())
    yield "curves.csv", to_csv(curves.rows(report))
    if report.bands is not None:
        yield (
            "bands.csv",
            to_csv(pd.concat([curves.band_rows(report), thresholds.band_rows(report)], ignore_index=True)),
        )
    yield "thresholds.csv", to_csv(thresholds.rows(report))
    yield "confusion.csv", to_csv(confusions.rows(report))
    yield "slices.csv", to_csv(slices.rows(report, sliced))
    bins = calibration.rows(report)
    if len(bins):
        yield "reliability.csv", to_csv(bins)
    yield "images.csv", to_csv(gallery.rows(report))
    if speed.known:
        yield "timings.csv", to_csv(latency.rows(report, speed))
        yield "pareto.csv", to_csv(speed_accuracy.rows(report, speed))
    histories = training.history_csv(report)
    if histories:
        yield "training.csv", histories
    for section in sections:
        for figure in section.figures:
            yield f"figures/{figure.slug}.svg", figure.svg
            if report.options.png:
                yield f"figures/{figure.slug}.png", figure.png()


def _facts(report: ReportData) -> list[str]:
    facts = report.data
    finished = [result.finished for result in report.results if result.finished is not None]
    devices = sorted({device or cpu for device, cpu in report.timed_hardware} - {""})
    return [
        f"{formatting.printable(facts.name)}, {_split_text(facts.split)}",
        formatting.plural(facts.images, "image"),
        formatting.plural(facts.objects, "object"),
        formatting.plural(facts.classes, "class"),
        f"truth {facts.fingerprint[:12]}",
        *([formatting.timestamp(max(finished))] if finished else []),
        *[formatting.printable(device) for device in devices[:2]],
    ]


def _split_text(split: str) -> str:
    return "all images, in folds" if split == "folds" else f"{formatting.printable(split)} split"


def _badges(report: ReportData, speed: Speed) -> list[Badge]:
    results = report.results
    badges = [_seeds_badge(report)]
    for note in report.training_notes:
        models = formatting.printable(formatting.join_words(list(note.values)))
        if note.kind == "still_rising":
            badges.append(
                Badge("undertrained", f"validation {note.subject} was still rising: {models}", "warn")
            )
        elif note.kind == "unequal_budget":
            badges.append(Badge("unequal budgets", f"training differs in {note.subject}", "warn"))
    leaked = max(result.data.leaked for result in results)
    if leaked:
        badges.append(
            Badge(
                "leakage",
                f"{formatting.count(leaked)} of {formatting.plural(report.data.images, 'image')} {agree(leaked, 'is', 'are')} also in the data of training "
                "or validation, or share a group with images there: results are too optimistic",
                "warn",
            )
        )
    if any(result.status == "partial" for result in results):
        badges.append(Badge("partial run", "training stopped before the end of its budget", "warn"))
    if any(result.environment.dirty for result in results):
        badges.append(UNCOMMITTED)
    if report.options.images == "intersection" and report.notes:
        badges.append(Badge("subset of images", "only images with the same truth in all runs", "warn"))
    if len(report.timed_hardware) > 1 or len(speed.machines) > 1:
        badges.append(Badge("mixed hardware", "times are not comparable", "warn"))
    if any(timed.timing.noisy for timed in speed.known):
        badges.append(Badge("noisy timing", "repeated passes on the same image vary", "warn"))
    if speed.left_out:
        badges.append(Badge("invalid timing", "excluded; the section on latency has the reasons", "warn"))
    return badges


def _seeds_badge(report: ReportData) -> Badge:
    """How many seeds each model has."""
    counts = [len(model.runs) for model in report.models]
    single = [label for label, count in zip(report.labels, counts, strict=True) if count == 1]
    if not single:
        return Badge(
            formatting.plural(min(counts), "seed")
            if len(set(counts)) == 1
            else f"{min(counts)} to {formatting.plural(max(counts), 'seed')}",
            "per model",
        )
    whose = "" if len(single) == len(counts) else f" for {formatting.join_words(single)}"
    return Badge("one run", f"the variance between training seeds was not measured{whose}", "warn")
