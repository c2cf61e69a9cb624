"""Whether scores mean what they say: of the detections scored 0.7, are seven in ten right?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from metrics.measures.calibration import detection_calibration_error
from metrics.reliability import Reliability, describe_out_of_range, reliability
from reports.analysis.evaluated_run import IOU, EvaluatedRun
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.reliability import reliability_diagram

LOWEST = 0.05
"""Detections of lower scores are many and say little; how many a model reports is a matter of its settings."""


ABOUT_RIGHT = 0.02
"""Mean distance of score and precision that is not worth a word."""


def section(report: ReportData) -> Section:
    """A reliability diagram, and the calibration error of each model, all above one score."""
    title = "Calibration"
    wrong = [
        f"{label}: {said}"
        for label, runs in zip(report.labels, report.scored, strict=True)
        if (said := next((text for run in runs if (text := describe_out_of_range(run.matches))), ""))
    ]
    if wrong:
        return Section(
            "calibration", title, f"Not measured, because scores are no probabilities ({wrong[0]})."
        )
    lowest = floor(report)
    curves = [reliability(runs[0].matches, IOU, floor=lowest) for runs in report.scored]
    if not any(curve.count.sum() for curve in curves):
        return Section("calibration", title, "There are no detections, so there is nothing to calibrate.")
    errors = [np.array([_error(run, lowest) for run in runs]) for runs in report.scored]
    finding = _finding(report, curves, errors)
    diagram = reliability_diagram(
        "reliability", "Precision of detections by their score", finding, report.labels, curves
    )
    first = " of its first run" if report.seeds > 1 else ""
    return Section(
        "calibration",
        title,
        finding,
        figures=(replace(diagram, caption="On the dotted line scores mean what they say."),),
        tables=(_table(report, curves, errors, lowest), *_tables(report, curves)),
        method=(
            f"Detections scored {lowest:.3g} or more, the same for all models, are put into ten bins of about equally "
            f"many{first}; right means IoU of at least 0.5 with an object of its class, ignored detections are left out. "
            "On the dotted line a score is the share of detections that are right. Bars are Wilson's 95% intervals, if "
            "detections were independent; detections of one image are not quite. D-ECE (Küppers et al. 2020) is the "
            "mean distance from the line over ten bins of equal width, weighed by detections.",
            "Scores of models that were trained with different losses mean different things, which is why each model is "
            "compared at its own best score elsewhere on this page.",
        ),
        links=(Link("reliability.csv", "the bins, by run"),),
    )


def floor(report: ReportData) -> float:
    """The score above which all runs report detections, and at least `LOWEST`."""
    lowest = [float(run.outcome.score.min()) for run in report.runs if len(run.outcome.score)]
    return max([LOWEST, *lowest])


def rows(report: ReportData) -> pd.DataFrame:
    """The bins of the reliability diagram, by run."""
    frames = []
    for scored, bins in _bins(report):
        frame = bins.to_frame()
        frame.insert(0, "run_id", scored.run.result.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _bins(report: ReportData) -> list[tuple[EvaluatedRun, Reliability]]:
    """Each run with its bins; none where scores are no probabilities."""
    if any(describe_out_of_range(run.matches) for run in report.runs):
        return []
    lowest = floor(report)
    return [(run, reliability(run.matches, IOU, floor=lowest)) for run in report.runs]


def _error(run: EvaluatedRun, lowest: float) -> float:
    return detection_calibration_error(run.matches, iou=IOU, floor=lowest)


def _finding(report: ReportData, curves: list[Reliability], errors: list[np.ndarray]) -> str:
    said = []
    for label, curve, error in zip(report.labels, curves, errors, strict=True):
        total = curve.count.sum()
        if not total or np.isnan(error).all():
            continue
        gap = float(np.nansum(curve.count * (curve.score - curve.precision)) / total)
        where = f"its scores lie {formatting.points(abs(gap))} points {'above' if gap > 0 else 'below'} its precision"
        word = "about right" if abs(gap) < ABOUT_RIGHT else "too sure" if gap > 0 else "not sure enough"
        said.append(f"{label} is {word} ({where})")
    return f"On the whole {formatting.join_words(said)}."


def _table(
    report: ReportData, curves: list[Reliability], errors: list[np.ndarray], lowest: float
) -> PageTable:
    made = []
    for number, (curve, error) in enumerate(zip(curves, errors, strict=True)):
        total = int(curve.count.sum())
        score = float(np.nansum(curve.count * curve.score) / total) if total else np.nan
        precision = float(curve.tp.sum() / total) if total else np.nan
        mean = float(error.mean())
        cells = (
            Cell(report.labels[number]),
            Cell(formatting.points(mean), mean),
            Cell("–" if np.isnan(score) else f"{score:.3f}", score),
            Cell("–" if np.isnan(precision) else f"{precision:.3f}", precision),
            Cell(formatting.count(total), total),
        )
        made.append(TableRow(cells, series=number))
    titles = ("D-ECE", "Mean score", "Precision", "Detections")
    columns = (TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable(
        "calibration-table", f"Calibration of detections scored {lowest:.3g} or more; D-ECE in points of 100, lower is "
        "better", columns, tuple(made),
    )  # fmt: skip


def _tables(report: ReportData, curves: list[Reliability]) -> list[PageTable]:
    """The bins behind each line of the diagram."""
    tables = []
    titles = ("Mean score", "Precision", "Low", "High", "Detections")
    columns = (TableColumn("Scores above"), *(TableColumn(title, numeric=True) for title in titles))
    for number, (label, curve) in enumerate(zip(report.labels, curves, strict=True)):
        made = []
        for at in range(len(curve.count)):
            values = (curve.score, curve.precision, curve.precision_low, curve.precision_high)
            cells = [
                Cell("–" if np.isnan(value[at]) else f"{value[at]:.3f}", float(value[at])) for value in values
            ]
            count = Cell(formatting.count(int(curve.count[at])), int(curve.count[at]))
            made.append(TableRow((Cell(f"{curve.low[at]:.3f}", float(curve.low[at])), *cells, count)))
        if made:
            tables.append(
                PageTable(
                    f"reliability-{number}",
                    f"Reliability of {label}",
                    columns,
                    tuple(made),
                    folded=True,
                    series=number,
                )
            )
    return tables
