"""What a score threshold does: precision, recall and F1 as the score that a detection must reach rises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metrics.compare import Band
from metrics.measures.operating_point import ScoreCurve
from reports.analysis.evaluated_run import IOU, EvaluatedRun, OperatingPoint
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.lines import Curve, LineAxes, lines
from reports.sections.curves import band_frame

STEPS = 201
"""Thresholds that the page's slider can stand at."""

MOST_POINTS = 400
"""Points of a line beyond which nobody sees a difference."""

MOST_CLASSES = 100
"""With more classes the slider only knows all of them together, so that the page stays small."""


def section(report: ReportData) -> Section:
    """Each model at its own best score, and what any other score would give."""
    points = [runs[0].best for runs in report.scored]
    bands = bands_of(report)
    return Section(
        "thresholds",
        "Score threshold",
        _finding(report, points),
        figures=[
            *(_figure(report, name, bands) for name in ("F1", "precision", "recall")),
            _false_alarms(report),
        ],
        tables=(_table(report),),
        template="thresholds.html",
        method=(
            "Detections below the threshold are dropped; the rest are right (find an object of their class with IoU of "
            "at least 0.5), false, or ignored. Counts are over all classes together. F1 is the harmonic mean of "
            "precision and recall, 2 right / (2 right + false + missed). Scores of different models do not mean the "
            "same, so a threshold that suits one may be wrong for another: the table shows each at its own best, and "
            "lines mark it.",
            "The best score was chosen on these very images, so precision, recall and F1 there are a little flattering "
            "to all models; for use, choose it on validation images.",
            *_how_sure(report),
        ),
        links=(
            Link("thresholds.csv", "counts at 201 scores, by run and class"),
            *([Link("bands.csv", "the shades, by model")] if bands else []),
        ),
    )


def rows(report: ReportData) -> pd.DataFrame:
    """Right, false and missed at each of the slider's scores, by run; by class too unless there are very many."""
    scores, names, frames = grid(report), report.truth.catalog.classes, []
    for scored in report.runs:
        right, false = scored.class_counts(scores)
        asked = scored.outcome.positives
        rows: list[tuple[str, Any, Any, Any]] = [("", right.sum(0), false.sum(0), asked.sum())]
        if len(names) <= MOST_CLASSES:
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


def band_rows(report: ReportData) -> pd.DataFrame:
    """The bands of precision, recall and F1 over score, by model."""
    scores = grid(report)
    return pd.concat(
        [
            band_frame(model.label, name, "score", IOU, scores, band)
            for model, bands in zip(report.models, bands_of(report), strict=True)
            for name, band in bands.items()
        ],
        ignore_index=True,
    )


def bands_of(report: ReportData) -> list[dict[str, Band]]:
    """Each model's precision, recall and f1 at the scores of `grid`; none where nothing was resampled."""
    if report.bands is None:
        return []
    found = report.bands.over_score(grid(report))
    return [found[model.label] for model in report.models]


def _how_sure(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Shades and brackets are {method.confidence:.0%} intervals of the mean over a model's runs, from the same "
        f"{method.resamples:,} resamples of the {method.unit}s as everywhere on this page; the score stays as it is, so they "
        "do not tell how far another choice of it would move.",
    )


def grid(report: ReportData) -> np.ndarray:
    """(STEPS,) rising scores from 0 to 1, or to what the scores of these runs ask for."""
    scores = [run.outcome.score for run in report.runs if len(run.outcome.score)]
    low = min([0.0, *(float(score.min()) for score in scores)])
    high = max([1.0, *(float(score.max()) for score in scores)])
    return np.linspace(low, high, STEPS)


def payload(report: ReportData) -> dict[str, Any]:
    """What the slider needs: right and false detections at each score, by model and class, summed over seeds."""
    thresholds = grid(report)
    classes = list(report.classes) if len(report.classes) <= MOST_CLASSES else []
    models = []
    for runs in report.scored:
        counts = [run.class_counts(thresholds) for run in runs]
        right = np.sum([each[0] for each in counts], axis=0)
        false = np.sum([each[1] for each in counts], axis=0)
        models.append(
            {
                "runs": len(runs),
                "best": [_finite(run.best.score) for run in runs],
                "right": [right.sum(0).tolist(), *(right.tolist() if classes else [])],
                "false": [false.sum(0).tolist(), *(false.tolist() if classes else [])],
            }
        )
    asked = report.scored[0][0].outcome.positives
    return {
        "thresholds": [round(float(value), 6) for value in thresholds],
        "classes": classes,
        "asked": [int(asked.sum()), *(asked.tolist() if classes else [])],
        "models": models,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _finding(report: ReportData, points: list[OperatingPoint]) -> str:
    said = [
        f"{label} at {point.score:.2f} (F1 {formatting.points(point.f1)})"
        for label, point in zip(report.labels, points, strict=True)
        if point.right
    ]
    if not said:
        return "No detection is right at IoU 0.50, so no threshold is better than another."
    return f"F1 over all classes is highest for {formatting.join_words(said)}."


def _curve(run: EvaluatedRun, name: str) -> Curve:
    """The measure against score, at every distinct score, thinned to what a figure can show."""
    curve = _thinned(run)
    values = {"precision": curve.precision, "recall": curve.recall, "F1": curve.f()}[name]
    return curve.score[::-1], 100 * values[::-1]


def _thinned(run: EvaluatedRun) -> ScoreCurve:
    """The run's sweep at no more scores than a figure can show, its best one among them."""
    sweep = run.sweep
    count = len(sweep.score)
    if count <= MOST_POINTS:
        return sweep
    best = min(int(np.searchsorted(-sweep.score, -run.best.score)), count - 1)
    kept = np.unique(np.r_[np.linspace(0, count - 1, MOST_POINTS).astype(np.intp), best])
    return ScoreCurve(sweep.score[kept], sweep.tp[kept], sweep.fp[kept], sweep.positives)


def _false_alarms(report: ReportData) -> Figure:
    """Recall against false detections per image: what each find costs whoever looks at the detections."""
    images = len(report.truth.catalog.image_ids)
    curves, points, said = [], [], []
    for label, runs in zip(report.labels, report.scored, strict=True):
        swept = [_thinned(run) for run in runs]
        curves.append([(curve.fp / images, 100 * curve.recall) for curve in swept])
        best = [run.best for run in runs if run.best.right]
        points.append([(each.false / images, 100 * each.recall) for each in best if each.false])
        said.append(f"{label} {runs[0].best.false / images:.2g}")
    return lines(
        "false-alarms", "Recall against false detections per image",
        f"False detections per image at each model's own best F1: {formatting.join_words(said)}.", report.labels, curves,
        LineAxes("false detections per image", "recall (points of 100)", y_limits=(0, 102), log_x=True), points=points,
    )  # fmt: skip


def _figure(report: ReportData, name: str, bands: list[dict[str, Band]]) -> Figure:
    curves = [[_curve(run, name) for run in runs] for runs in report.scored]
    points = []
    for runs in report.scored:
        reached = [run.best for run in runs if run.best.right]
        points.append([(each.score, 100 * getattr(each, name.lower())) for each in reached])
    values = [getattr(runs[0].best, name.lower()) for runs in report.scored]
    said = [f"{label} {formatting.points(value)}" for label, value in zip(report.labels, values, strict=True)]
    thresholds = grid(report)
    shades = [(thresholds, 100 * of[name.lower()].low, 100 * of[name.lower()].high) for of in bands]
    return lines(
        f"score-{name.lower()}", f"{name[0].upper()}{name[1:]} against score", f"At each model's own best F1: {formatting.join_words(said)}.",
        report.labels, curves,
        LineAxes(
            "score that a detection must reach", f"{name} (points of 100)",
            x_limits=(float(thresholds[0]), float(thresholds[-1])), y_limits=(0, 102), cursor=True,
        ),
        points=points, bands=shades,
    )  # fmt: skip


def _own_best(report: ReportData) -> list[dict[str, Band]]:
    """Each model's precision, recall and f1 at its runs' own best scores; none where nothing was resampled."""
    if report.bands is None:
        return []
    scores = {
        model.label: [np.array([run.best.score]) for run in runs]
        for model, runs in zip(report.models, report.scored, strict=True)
    }
    found = report.bands.at_own_scores(scores)
    return [found[model.label] for model in report.models]


def _table(report: ReportData) -> PageTable:
    rows, sure = [], _own_best(report)
    for number, runs in enumerate(report.scored):
        best = [run.best for run in runs]
        scores = [point.score for point in best if point.right]
        cells = [Cell(report.labels[number])]
        score = float(np.mean(scores)) if scores else None
        cells.append(Cell(formatting.MISSING if score is None else f"{score:.3f}", score))
        for name in ("precision", "recall", "f1"):
            value = float(np.mean([getattr(point, name) for point in best]))
            band = sure[number][name] if sure else None
            note = formatting.points_interval(band.low[0], band.high[0]) if band else ""
            cells.append(Cell(formatting.points(value), value, note=note))
        for name in ("right", "false", "missed"):
            value = float(np.mean([getattr(point, name) for point in best]))
            cells.append(Cell(formatting.count(value), value))
        rows.append(TableRow(tuple(cells), series=number))
    titles = ("Score", "Precision", "Recall", "F1", "Right", "False", "Missed")
    columns = (TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles))
    seeds = ", means over its seeds" if report.seeds > 1 else ""
    return PageTable(
        "thresholds-table", f"Each model at the score where its F1 is highest{seeds}; all classes, IoU 0.50",
        columns, tuple(rows),
    )  # fmt: skip
