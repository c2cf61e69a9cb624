"""Pages: the only module that writes them. A page is one file; the tables and figures it links to lie beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reports.analysis.gallery_images import text_size
from reports.analysis.leaderboard import run_tables
from reports.analysis.report_data import ComparisonOptions, Images, ReportData
from reports.analysis.speed import Speed, speed_of
from reports.elements import formatting
from reports.elements.page import Badge, Document, Section
from reports.elements.page_template import json_block, page_rules, render
from reports.elements.palette import series_style
from reports.records.atomic_files import atomic_write
from reports.records.csv import to_csv
from reports.records.run import RunFolder
from reports.records.study import StudyFolder
from reports.sections import (
    budget,
    calibration,
    classes,
    curves,
    data,
    errors,
    gallery,
    latency,
    pairs,
    reproducibility,
    slices,
    speed_accuracy,
    thresholds,
    training,
    tuning,
    verdict,
)
from reports.sections.study_page import compose_study


def write_report(
    runs: Sequence[RunFolder],
    out: str | Path,
    images: Images | None = None,
    *,
    title: str = "",
    max_mb: float = 8.0,
    show_paths: bool = False,
    options: ComparisonOptions | None = None,
) -> Path:
    """Write the page `out`, and beside it the tables and figures that it is made of.

    Beside `out`: every table as CSV (``leaderboard.csv``, ``metrics.csv``, ``standings.csv``, ``pairwise.csv`` and more,
    each named where the page uses it) and every figure as ``figures/*.svg`` and ``*.png``. The same runs and images
    give the same bytes.

    Args:
        runs: all evaluated on the same truth; runs that differ only in their seed are one model.
        out: the page, or a folder, in which it is then called ``report.html``.
        images: where the gallery's pictures come from; without it, or where it raises, the page says so.
        title: the page's heading; made from the data set's name if empty.
        max_mb: the page stays below this many megabytes (10**6 bytes): the gallery is thinned, and says by how many.
        show_paths: show absolute paths, which may hold a user's name, in full.
        options: how the runs are compared: resamples, groups of images, limits.

    Returns:
        The path of the page.

    Raises:
        InputError: no run, two of the same name, or runs on different truth.
        MachineError: the files cannot be written; what stood there stands there still.
    """
    return write_comparison(
        ReportData.from_runs(runs, images, show_paths, options), out, title=title, max_mb=max_mb
    )


def write_comparison(
    report: ReportData,
    out: str | Path,
    *,
    title: str = "",
    max_mb: float = 8.0,
    studies: Sequence[StudyFolder] = (),
) -> Path:
    """Write the page about a comparison, and what lies beside it; arguments as in `write_report`.

    Args:
        report: the runs, read and scored.
        out: the page, or its folder.
        title: the page's heading.
        max_mb: the page stays below this.
        studies: in which settings of these runs were found; they get a section.

    Raises:
        InputError: limits that cannot be held against these runs.
        MachineError: the files cannot be written; what stood there stands there still.
    """
    out = Path(out)
    page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    document = _compose(report, title=title, max_bytes=int(max_mb * 1e6), studies=studies)
    for name, content in document.files.items():
        atomic_write(page.parent / name, content)
    return atomic_write(page, document.html)


def write_study_page(
    folder: StudyFolder, out: str | Path | None = None, *, title: str = "", show_paths: bool = False
) -> Path:
    """Write the page about a study, and beside it its figures, its table of trials and its facts.

    The same study gives the same bytes.

    Args:
        folder: of the last stage; earlier ones are shown where their folders are still beside it.
        out: the page, or a folder, in which it is then called ``report.html``; the study's own folder by default.
        title: the page's heading; made from variant and data set if empty.
        show_paths: show absolute paths, which may hold a user's name, in full.

    Returns:
        The path of the page.

    Raises:
        MachineError: the files cannot be written; what stood there stands there still.
    """
    out = folder.path if out is None else Path(out)
    page = out if out.suffix.lower() in (".html", ".htm") else out / StudyFolder.PAGE
    document = compose_study(folder, title=title, show_paths=show_paths)
    for name, content in document.files.items():
        atomic_write(page.parent / name, content)
    return atomic_write(page, document.html)


def _compose(
    report: ReportData, *, title: str, max_bytes: int, studies: Sequence[StudyFolder] = ()
) -> Document:
    """The report of a comparison."""
    sliced, speed = slices.slices_of(report), speed_of(report)
    before = [
        verdict.section(report, speed),
        pairs.section(report),
        speed_accuracy.section(report, speed),
        curves.section(report),
        thresholds.section(report),
        classes.section(report),
        slices.section(report, sliced),
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
    # The gallery gets what the rest leaves, less a little for what its own headings and method take.
    bare = _page(report, speed, title, _kept([*before, *after]))
    room = max_bytes - len(bare.encode()) - 20_000
    sections = _kept([*before, gallery.section(report, room), *after])
    files = dict(_files(report, sections, sliced, speed))
    return Document(_page(report, speed, title, sections), files)


def _kept(sections: Sequence[Section | None]) -> list[Section]:
    return [section for section in sections if section is not None]


def _page(report: ReportData, speed: Speed, title: str, sections: Sequence[Section]) -> str:
    context: dict[str, Any] = {
        "title": formatting.printable(title) or f"Detectors on {formatting.printable(report.data.name)}",
        "facts": _facts(report),
        "badges": _badges(report, speed),
        "models": [_legend(number, label) for number, label in enumerate(report.labels)],
        "sections": sections,
        "payload": json_block({"thresholds": thresholds.payload(report)}),
        "rules": page_rules(len(report.models)),
        "text_size": text_size,
    }
    return render(context)


def _files(
    report: ReportData, sections: Sequence[Section], sliced: slices.Slices, speed: Speed
) -> Iterator[tuple[str, bytes | str]]:
    scored = report.runs
    folders, evaluations = [each.run for each in scored], [each.evaluation for each in scored]
    yield from run_tables(folders, evaluations, report.statistics).items()
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
    yield "confusion.csv", to_csv(errors.confusion_rows(report))
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
            yield f"figures/{figure.slug}.png", figure.png


def _legend(number: int, label: str) -> dict[str, Any]:
    its = series_style(number)
    return {
        "number": number,
        "label": label,
        "colour": its.colour,
        "dash": its.dash or "none",
        "marker": its.path,
    }


def _facts(report: ReportData) -> list[str]:
    data_ = report.data
    finished = [result.finished for result in report.results if result.finished is not None]
    devices = sorted(
        {result.environment.device or result.environment.cpu for result in report.results} - {""}
    )
    return [
        f"{formatting.printable(data_.name)}, {formatting.printable(data_.split)} split",
        formatting.plural(data_.images, "image"),
        formatting.plural(data_.objects, "object"),
        formatting.plural(data_.classes, "class", "classes"),
        f"truth {data_.fingerprint[:12]}",
        *([formatting.timestamp(max(finished))] if finished else []),
        *[formatting.printable(device) for device in devices[:2]],
    ]


def _badges(report: ReportData, speed: Speed) -> list[Badge]:
    results = report.results
    machines = {(result.environment.device, result.environment.cpu) for result in results}
    badges = []
    if any(len(model.runs) == 1 for model in report.models):
        badges.append(Badge("1 seed", "seed variance not measured", "warn"))
    else:
        badges.append(Badge(f"{min(len(model.runs) for model in report.models)} seeds", "a dot each"))
    if any(result.status == "partial" for result in results):
        badges.append(Badge("partial run", "stopped before its budget was spent", "warn"))
    if any(result.environment.dirty for result in results):
        badges.append(Badge("dirty git", "made by code that is in no commit", "warn"))
    if report.options.images == "intersection" and report.notes:
        badges.append(Badge("part of the images", "those whose truth all runs share", "warn"))
    if len(machines) > 1 or len(speed.machines) > 1:
        badges.append(Badge("mixed hardware", "times cannot be compared", "warn"))
    if any(timed.timing.noisy for timed in speed.known):
        badges.append(Badge("noisy", "the same image took times that differ much", "warn"))
    if speed.left_out:
        badges.append(Badge("invalid timing", "left out, with the reason", "warn"))
    return badges
