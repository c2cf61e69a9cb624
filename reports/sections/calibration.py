"""Calibration: whether the share of true positives among detections equals their score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from metrics.measures.calibration import detection_calibration_error
from metrics.plurals import agree
from metrics.reliability import Reliability, describe_out_of_range, reliability
from reports.analysis.evaluated_run import IOU, EvaluatedRun
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.reliability import reliability_diagram

MIN_SCORE = 0.05
"""Detections of lower scores are left out: their number depends on the model's settings."""


@dataclass(frozen=True, slots=True)
class CalibrationMeans:
    """Calibration of a model's detections above the minimum score: means over its runs.

    Attributes:
        label: the model.
        error: detection calibration error, a fraction; NaN without detections in a run.
        score: mean score; NaN as `error`.
        precision: share of true positives; NaN as `error`.
        detections: their number.
    """

    label: str
    error: float
    score: float
    precision: float
    detections: float

    @property
    def gap(self) -> float:
        """Mean score minus precision; positive: scores are too high on average."""
        return self.score - self.precision


def section(report: ReportData) -> Section:
    """A reliability diagram and the calibration error of each model, all above the same minimum score."""
    title = "Calibration"
    out_of_range = [
        f"{label}: {text}"
        for label, runs in zip(report.labels, report.evaluated, strict=True)
        if (text := next((text for run in runs if (text := describe_out_of_range(run.matches))), ""))
    ]
    if out_of_range:
        finding = (
            f"Calibration was not measured because some scores are not probabilities ({out_of_range[0]})."
        )
        return Section("calibration", title, finding)
    min_score = minimum_score(report)
    curves = [reliability(runs[0].matches, IOU, floor=min_score) for runs in report.evaluated]
    if not any(curve.count.sum() for curve in curves):
        return Section("calibration", title, "There are no detections, so calibration is not defined.")
    means = calibration_means(report, min_score)
    finding = finding_text(means, report.seeds > 1)
    diagram = reliability_diagram("reliability", "Precision over score", finding, report.labels, curves)
    several = len(report.models) > 1
    first = " The diagram shows each model's first run; sentence and table are means over runs." * (
        report.seeds > 1
    )
    return Section(
        "calibration",
        title,
        finding,
        figures=(replace(diagram, caption="On the dotted line, precision equals score."),),
        tables=(_table(means, min_score), *_tables(report, curves)),
        method=(
            f"Detections with a score of at least {min_score:.3g}{', the same minimum for all models,' if several else ''} are divided into ten "
            "bins of about equal size. True positives match an object of their class with an IoU of at least 0.5; ignored "
            "detections are left out. For a perfectly calibrated model, precision equals score (dotted line). Bars are "
            "Wilson's 95% intervals; they assume independent detections, which detections in the same image are not. "
            f"The difference of mean score and precision has no interval here: treat small differences as none.{first} D-ECE "
            "(Küppers et al. 2020) is the mean distance from the dotted line over ten bins of equal width, weighted by the "
            "number of detections.",
            *(
                [
                    "Scores of models trained with different losses are not comparable, so elsewhere on this page each model is "
                    "shown at the score threshold of its own highest F1."
                ]
                if several
                else []
            ),
        ),
        links=(Link("reliability.csv", "bins, by run"),),
    )


def minimum_score(report: ReportData) -> float:
    """Return the score above which all runs report detections, at least `MIN_SCORE`."""
    return max(
        [MIN_SCORE, *(float(run.outcome.score.min()) for run in report.runs if len(run.outcome.score))]
    )


def rows(report: ReportData) -> pd.DataFrame:
    """The bins of the reliability diagram, by run: ``reliability.csv``."""
    frames = []
    for run, bins in _bins(report):
        frame = bins.to_frame()
        frame.insert(0, "run_id", run.run.result.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _bins(report: ReportData) -> list[tuple[EvaluatedRun, Reliability]]:
    """Each run with its bins; empty if any score is not a probability."""
    if any(describe_out_of_range(run.matches) for run in report.runs):
        return []
    min_score = minimum_score(report)
    return [(run, reliability(run.matches, IOU, floor=min_score)) for run in report.runs]


def _error(run: EvaluatedRun, min_score: float) -> float:
    return detection_calibration_error(run.matches, iou=IOU, floor=min_score)


def calibration_means(report: ReportData, min_score: float) -> list[CalibrationMeans]:
    """Each model's calibration, from which the sentence and the table are made."""
    made = []
    for label, runs in zip(report.labels, report.evaluated, strict=True):
        rows = []
        for run in runs:
            curve = reliability(run.matches, IOU, floor=min_score)
            total = int(curve.count.sum())
            score = float(np.nansum(curve.count * curve.score) / total) if total else np.nan
            rows.append(
                (_error(run, min_score), score, float(curve.tp.sum() / total) if total else np.nan, total)
            )
        made.append(CalibrationMeans(label, *np.mean(rows, axis=0).tolist()))
    return made


def finding_text(means: Sequence[CalibrationMeans], several_seeds: bool) -> str:
    """Describe the difference between mean score and precision of each model that has detections."""
    parts = [f"{each.label} {formatting.signed_points(each.gap)}" for each in means if np.isfinite(each.gap)]
    if not parts:
        return "No model has detections above the minimum score in all of its runs, so calibration is not defined."
    over = ", mean over seeds" if several_seeds else ""
    without = [each.label for each in means if not np.isfinite(each.gap)]
    none = "no detections in some run" if several_seeds else "no detections"
    left_out = (
        f" {formatting.join_words(without)} {agree(len(without), 'has', 'have')} {none} above the minimum score."
        if without
        else ""
    )
    return f"Mean score minus precision in percentage points{over} (above 0: scores are too high): {formatting.join_words(parts)}.{left_out}"


def _table(means: Sequence[CalibrationMeans], min_score: float) -> PageTable:
    made = []
    for number, each in enumerate(means):
        cells = (
            Cell(each.label),
            Cell(formatting.points(each.error), each.error),
            Cell(formatting.fixed(each.score), each.score),
            Cell(formatting.fixed(each.precision), each.precision),
            Cell(formatting.count(each.detections), each.detections),
        )
        made.append(TableRow(cells, series=number))
    columns = (
        TableColumn("Model"),
        TableColumn(
            "Calibration error (D-ECE)",
            True,
            "mean distance of precision from score over ten bins of the score",
        ),
        *(TableColumn(title, numeric=True) for title in ("Mean score", "Precision", "Detections")),
    )
    return PageTable(
        "calibration-table", f"Calibration of detections with a score of at least {min_score:.3g}; D-ECE in percentage points, "
        "lower is better", columns, tuple(made),
    )  # fmt: skip


def _tables(report: ReportData, curves: list[Reliability]) -> list[PageTable]:
    """The bins of each model's curve."""
    tables = []
    titles = ("Mean score", "Precision", "Lower limit", "Upper limit", "Detections")
    columns = (TableColumn("Score from"), *(TableColumn(title, numeric=True) for title in titles))
    for number, (label, curve) in enumerate(zip(report.labels, curves, strict=True)):
        made = []
        for at in range(len(curve.count)):
            values = (curve.score, curve.precision, curve.precision_low, curve.precision_high)
            cells = [Cell(formatting.fixed(value[at]), float(value[at])) for value in values]
            count = Cell(formatting.count(int(curve.count[at])), int(curve.count[at]))
            made.append(TableRow((Cell(f"{curve.low[at]:.3f}", float(curve.low[at])), *cells, count)))
        if made:
            tables.append(
                PageTable(
                    f"reliability-{number}",
                    f"Reliability bins of {label}",
                    columns,
                    tuple(made),
                    folded=True,
                    series=number,
                )
            )
    return tables
