"""Score threshold: precision, recall and F1 at each threshold, and the threshold of the highest F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metrics.compare import Band
from metrics.measures.operating_point import ScoreCurve
from reports.analysis.evaluated_run import IOU, EvaluatedRun
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.lines import Curve, LineAxes, lines
from reports.sections.curves import band_frame

STEPS = 201
"""Number of positions of the page's slider."""

MAX_POINTS = 400
"""Number of points of a line; more make no visible difference."""

MAX_CLASSES = 100
"""With more classes the slider has the counts over all classes only, which limits the size of the page."""


def section(report: ReportData) -> Section:
    """Each model at its highest F1, and the measures at all other thresholds."""
    points, bands = operating_means(report), bands_of(report)
    return Section(
        "thresholds",
        "Score threshold",
        finding_text(points, report.seeds > 1),
        figures=[
            *(_figure(report, name, points, bands) for name in ("F1", "precision", "recall")),
            _false_positives_figure(report, points),
        ],
        tables=(_table(report, points),),
        template="thresholds.html",
        method=(
            "Detections with a score below the threshold are dropped. The others are true positives if they match an object "
            "of their class with an IoU of at least 0.5, and otherwise false positives, unless they are ignored. Counts are "
            "over all classes. F1 is the harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."
            + " The scores of different models are not comparable, so one threshold does not suit all: the table and the "
            "markers show each model at its own highest F1." * (len(report.models) > 1),
            "The thresholds of the highest F1 were chosen on the same images, so precision, recall and F1 at them are slightly "
            "optimistic. Choose the threshold for use on validation images.",
            *_intervals_method(report),
        ),
        links=(
            Link("thresholds.csv", f"counts at {STEPS} thresholds, by run and class"),
            *([Link("bands.csv", "the intervals, by model")] if bands else []),
        ),
    )


def rows(report: ReportData) -> pd.DataFrame:
    """Counts at each position of the slider, by run, and by class unless there are too many: ``thresholds.csv``."""
    scores, names, frames = score_grid(report), report.truth.catalog.classes, []
    for run in report.runs:
        tp, fp = run.class_counts(scores)
        positives = run.outcome.positives
        counts: list[tuple[str, Any, Any, Any]] = [("", tp.sum(0), fp.sum(0), positives.sum())]
        if len(names) <= MAX_CLASSES:
            counts += zip(names, tp, fp, positives, strict=True)
        for name, class_tp, class_fp, class_positives in counts:
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": run.run.result.name,
                        "class_name": name,
                        "score": scores.round(6),
                        "tp": class_tp,
                        "fp": class_fp,
                        "fn": class_positives - class_tp,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def band_rows(report: ReportData) -> pd.DataFrame:
    """The intervals of precision, recall and F1 over score, by model."""
    scores = score_grid(report)
    return pd.concat(
        [
            band_frame(model.label, name, "score", IOU, scores, band)
            for model, bands in zip(report.models, bands_of(report), strict=True)
            for name, band in bands.items()
        ],
        ignore_index=True,
    )


def bands_of(report: ReportData) -> list[dict[str, Band]]:
    """Each model's precision, recall and F1 at the scores of `score_grid`; empty without resampling."""
    if report.bands is None:
        return []
    bands = report.bands.over_score(score_grid(report))
    return [bands[model.label] for model in report.models]


def _intervals_method(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Shaded areas and brackets are {method.confidence:.0%} confidence intervals of the mean over a model's runs, from "
        f"the same {formatting.plural(method.resamples, 'bootstrap replicate')} as all intervals on this page. The threshold is kept "
        "fixed: the intervals do not include the uncertainty of its choice.",
    )


def score_grid(report: ReportData) -> np.ndarray:
    """(STEPS,) ascending scores from 0 to 1, or further if the scores of these runs require it."""
    scores = [run.outcome.score for run in report.runs if len(run.outcome.score)]
    low = min([0.0, *(float(score.min()) for score in scores)])
    high = max([1.0, *(float(score.max()) for score in scores)])
    return np.linspace(low, high, STEPS)


def payload(report: ReportData) -> dict[str, Any]:
    """The slider's data: true and false positives at each threshold, by model and class, summed over seeds."""
    scores = score_grid(report)
    classes = list(report.classes) if len(report.classes) <= MAX_CLASSES else []
    models = []
    for runs in report.evaluated:
        counts = [run.class_counts(scores) for run in runs]
        tp = np.sum([each[0] for each in counts], axis=0)
        fp = np.sum([each[1] for each in counts], axis=0)
        models.append(
            {
                "runs": len(runs),
                "best": [_finite(run.best_point.score) for run in runs],
                "tp": [tp.sum(0).tolist(), *(tp.tolist() if classes else [])],
                "fp": [fp.sum(0).tolist(), *(fp.tolist() if classes else [])],
            }
        )
    positives = report.evaluated[0][0].outcome.positives
    return {
        "scores": [round(float(value), 6) for value in scores],
        "classes": classes,
        "positives": [int(positives.sum()), *(positives.tolist() if classes else [])],
        "models": models,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class OperatingMeans:
    """A model at the score thresholds of its runs' highest F1: means over its runs, all classes, IoU 0.50.

    Attributes:
        label: the model.
        score: mean threshold of the runs with a true positive; NaN if there is none.
        precision, recall, f1: fractions; NaN where undefined for a run.
        tp, fp, fn: counts.
        fp_per_image: false positives per image.
    """

    label: str
    score: float
    precision: float
    recall: float
    f1: float
    tp: float
    fp: float
    fn: float
    fp_per_image: float


def operating_means(report: ReportData) -> list[OperatingMeans]:
    """Each model at its highest F1, from which the sentences, the table and the figures' texts are made."""
    images = len(report.truth.catalog.image_ids)
    made = []
    for label, runs in zip(report.labels, report.evaluated, strict=True):
        best = [run.best_point for run in runs]
        scores = [point.score for point in best if point.tp]
        means = {
            name: float(np.mean([getattr(point, name) for point in best]))
            for name in ("precision", "recall", "f1", "tp", "fp", "fn")
        }
        score = float(np.mean(scores)) if scores else np.nan
        made.append(OperatingMeans(label, score, **means, fp_per_image=means["fp"] / images))
    return made


def finding_text(points: Sequence[OperatingMeans], several_seeds: bool) -> str:
    """Describe the score thresholds of the highest F1, and name the models without a true positive."""
    best = [
        f"{point.label} at {point.score:.2f} (F1 {formatting.points(point.f1)})"
        for point in points
        if point.tp
    ]
    if not best:
        return "There are no true positives at IoU 0.50, so no threshold is better than another."
    none = [point.label for point in points if not point.tp]
    means = ", means over seeds" if several_seeds else ""
    text = f"F1 over all classes is highest at these score thresholds{means}: {formatting.join_words(best)}."
    return text + (f" No true positives at IoU 0.50: {formatting.join_words(none)}." if none else "")


def _curve(run: EvaluatedRun, name: str) -> Curve:
    """The measure over score, at every score that occurs, thinned for the figure."""
    curve = _thin(run)
    values = {"precision": curve.precision, "recall": curve.recall, "F1": curve.f()}[name]
    return curve.score[::-1], 100 * values[::-1]


def _thin(run: EvaluatedRun) -> ScoreCurve:
    """The run's score curve with at most about `MAX_POINTS` scores, including the one of the highest F1."""
    curve = run.score_curve
    count = len(curve.score)
    if count <= MAX_POINTS:
        return curve
    best = min(int(np.searchsorted(-curve.score, -run.best_point.score)), count - 1)
    kept = np.unique(np.r_[np.linspace(0, count - 1, MAX_POINTS).astype(np.intp), best])
    return ScoreCurve(curve.score[kept], curve.tp[kept], curve.fp[kept], curve.positives)


def _false_positives_figure(report: ReportData, means: Sequence[OperatingMeans]) -> Figure:
    images = len(report.truth.catalog.image_ids)
    curves, points = [], []
    counts = [f"{point.label} {point.fp_per_image:.2g}" for point in means]
    for runs in report.evaluated:
        thinned = [_thin(run) for run in runs]
        curves.append([(curve.fp / images, 100 * curve.recall) for curve in thinned])
        best = [run.best_point for run in runs if run.best_point.tp]
        points.append([(each.fp / images, 100 * each.recall) for each in best if each.fp])
    return lines(
        "false-positives", "Recall over false positives per image",
        f"False positives per image at each model's highest F1: {formatting.join_words(counts)}.", report.labels, curves,
        LineAxes("false positives per image", "recall (%)", y_limits=(0, 102), log_x=True), points=points,
    )  # fmt: skip


def _figure(
    report: ReportData, name: str, means: Sequence[OperatingMeans], bands: list[dict[str, Band]]
) -> Figure:
    curves = [[_curve(run, name) for run in runs] for runs in report.evaluated]
    points = []
    for runs in report.evaluated:
        best = [run.best_point for run in runs if run.best_point.tp]
        points.append([(each.score, 100 * getattr(each, name.lower())) for each in best])
    scores = score_grid(report)
    shades = [(scores, 100 * of[name.lower()].low, 100 * of[name.lower()].high) for of in bands]
    title = {"F1": "F1", "precision": "Precision", "recall": "Recall"}[name]
    finding = "Highest F1" if name == "F1" else f"{title} at each model's highest F1"
    return lines(
        f"score-{name.lower()}", f"{title} over score threshold",
        _values_text(finding, [(point.label, getattr(point, name.lower())) for point in means]), report.labels, curves,
        LineAxes(
            "score threshold", f"{name} (%)",
            x_limits=(float(scores[0]), float(scores[-1])), y_limits=(0, 102), cursor=True,
        ),
        points=points, bands=shades,
    )  # fmt: skip


def _values_text(finding: str, values: Sequence[tuple[str, float]]) -> str:
    """A measure of each model, and for which models it is not defined."""
    defined = [f"{label} {formatting.points(value)}" for label, value in values if math.isfinite(value)]
    without = [label for label, value in values if not math.isfinite(value)]
    named = f"not defined for {formatting.join_words(without)}" if without else ""
    return f"{finding}: {'; '.join(filter(None, (formatting.join_words(defined), named)))}."


def _bands_at_best(report: ReportData) -> list[dict[str, Band]]:
    """Each model's precision, recall and F1 at the best scores of its runs; empty without resampling."""
    if report.bands is None:
        return []
    scores = {
        model.label: [np.array([run.best_point.score]) for run in runs]
        for model, runs in zip(report.models, report.evaluated, strict=True)
    }
    bands = report.bands.at_own_scores(scores)
    return [bands[model.label] for model in report.models]


def _table(report: ReportData, points: Sequence[OperatingMeans]) -> PageTable:
    rows, bands = [], _bands_at_best(report)
    for number, point in enumerate(points):
        known = np.isfinite(point.score)
        cells = [Cell(point.label)]
        cells.append(
            Cell(f"{point.score:.3f}" if known else formatting.MISSING, point.score if known else None)
        )
        for name in ("precision", "recall", "f1"):
            band = bands[number][name] if bands else None
            note = formatting.points_interval(band.low[0], band.high[0]) if band else ""
            value = getattr(point, name)
            cells.append(Cell(formatting.points(value), value, note=note))
        for name in ("tp", "fp", "fn"):
            value = getattr(point, name)
            cells.append(Cell(formatting.count(value) if report.seeds == 1 else f"{value:.1f}", value))
        rows.append(TableRow(tuple(cells), series=number))
    titles = ("Threshold", "Precision", "Recall", "F1", "TP", "FP", "FN")
    columns = (TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles))
    seeds = ", means over seeds" if report.seeds > 1 else ""
    return PageTable(
        "thresholds-table", f"Each model at the score threshold of its highest F1{seeds}; all classes, IoU 0.50",
        columns, tuple(rows),
    )  # fmt: skip
