"""A report as text and files, nothing written yet: the header, the sections in reading order, what lies beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from metrics.compare import Band
from reports.analysis.evaluated_run import IOU
from reports.analysis.gallery_images import text_size
from reports.analysis.leaderboard import run_tables
from reports.analysis.report_data import ReportData
from reports.analysis.speed import Speed, speed_of
from reports.elements import formatting
from reports.elements.page import Badge, Section
from reports.elements.page_template import json_block, page_rules, render
from reports.elements.palette import series_style
from reports.figures.pr_curves import RECALLS
from reports.records.csv import to_csv
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


@dataclass(frozen=True, slots=True)
class Document:
    """A page, and what it links to by a path from its own folder."""

    html: str
    files: dict[str, bytes | str]


def compose(
    report: ReportData, *, title: str, max_bytes: int, studies: Sequence[StudyFolder] = ()
) -> Document:
    """The report of a comparison; arguments as in `reports.pages.write_comparison`."""
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
    yield "curves.csv", to_csv(_curves(report))
    if report.bands is not None:
        yield "bands.csv", to_csv(_bands(report))
    yield "thresholds.csv", to_csv(_thresholds(report))
    yield "confusion.csv", to_csv(errors.confusion_rows(report))
    yield "slices.csv", to_csv(slices.rows(report, sliced))
    bins = _reliability(report)
    if len(bins):
        yield "reliability.csv", to_csv(bins)
    yield "images.csv", to_csv(_images(report))
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


def _curves(report: ReportData) -> pd.DataFrame:
    """Precision at COCO's recalls by run, IoU threshold and class: one row a class, one column a recall."""
    frames = []
    for scored in report.runs:
        for iou in curves.THRESHOLDS:
            frame = pd.DataFrame(
                scored.class_precision(iou), columns=[f"p{recall:.2f}" for recall in RECALLS]
            )
            frame.insert(0, "class_name", report.truth.catalog.classes)
            frame.insert(0, "iou", iou)
            frame.insert(0, "run_id", scored.run.result.name)
            frames.append(frame.dropna(subset=["p0.00"]))
    return pd.concat(frames, ignore_index=True)


def _bands(report: ReportData) -> pd.DataFrame:
    """The shades around the curves: precision over recall at each IoU, and precision, recall and F1 over score."""
    parts = []

    def add(model: str, measure: str, over: str, iou: float, at: Any, band: Band) -> None:
        named = {"model_id": model, "measure": measure, "over": over, "iou": iou, "at": at.round(6)}
        parts.append(pd.DataFrame(named | {"value": band.value, "low": band.low, "high": band.high}))

    over_score = thresholds.bands_of(report)
    for iou in curves.THRESHOLDS:
        for model, band in zip(report.models, curves.bands_of(report, iou), strict=True):
            add(model.label, "precision", "recall", iou, RECALLS, band)
    for model, of in zip(report.models, over_score, strict=True):
        for name, band in of.items():
            add(model.label, name, "score", IOU, thresholds.grid(report), band)
    return pd.concat(parts, ignore_index=True)


def _thresholds(report: ReportData) -> pd.DataFrame:
    """Right, false and missed at each of the slider's scores, by run; by class too unless there are very many."""
    scores, names, frames = thresholds.grid(report), report.truth.catalog.classes, []
    for scored in report.runs:
        right, false = scored.class_counts(scores)
        asked = scored.outcome.positives
        rows: list[tuple[str, Any, Any, Any]] = [("", right.sum(0), false.sum(0), asked.sum())]
        if len(names) <= thresholds.MOST_CLASSES:
            rows += zip(names, right, false, asked, strict=True)
        for name, found, wrong, wanted in rows:
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": scored.run.result.name,
                        "class_name": name,
                        "score": scores.round(6),
                        "right": found,
                        "false": wrong,
                        "missed": wanted - found,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _reliability(report: ReportData) -> pd.DataFrame:
    """The bins of the reliability diagram, by run."""
    frames = []
    for scored, bins in calibration.rows(report):
        frame = bins.to_frame()
        frame.insert(0, "run_id", scored.run.result.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _images(report: ReportData) -> pd.DataFrame:
    """What happened in every image, by run, at the run's own best F1."""
    catalog, frames = report.truth.catalog, []
    for scored in report.runs:
        counts = scored.images
        frames.append(
            pd.DataFrame(
                {
                    "run_id": scored.run.result.name,
                    "image_id": list(catalog.image_ids),
                    "file_name": list(catalog.file_names),
                    "score": scored.best.score,
                    "right": counts.right,
                    "false": counts.false,
                    "missed": counts.missed,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


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
