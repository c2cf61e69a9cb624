"""How much precision each model gives up for recall."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from metrics.compare import Band
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.pr_curves import RECALLS, pr_curves

THRESHOLDS = (0.5, 0.75)


def section(report: ReportData) -> Section:
    """Precision over recall at a forgiving and at a strict IoU threshold."""
    figures, tables, findings = [], [], []
    for iou in THRESHOLDS:
        curves = [
            np.stack([_mean_over_classes(run.class_precision(iou)) for run in runs]) for runs in report.scored
        ]
        finding = _finding(report, curves, iou)
        bands = bands_of(report, iou)
        findings.append(finding)
        figures.append(_figure(report, curves, iou, finding, bands))
        tables.append(_table(report, curves, iou, bands))
    return Section(
        "curves",
        "Precision and recall",
        findings[0],
        figures=(replace(figures[0], caption=report.bands_said), *figures[1:]),
        tables=tables,
        method=(
            "Precision is the share of detections that are right, recall the share of objects that are found, as the "
            "score that a detection must reach falls. Each curve is the mean over the classes that have objects, of "
            "the best precision at that recall or beyond; a class that does not reach a recall counts with 0 there. "
            "The area under the curve is the AP at that IoU threshold.",
            *_how_sure(report),
        ),
        links=(
            Link("curves.csv", "precision at 101 recalls, by run and class"),
            *([Link("bands.csv", "the shades, by model")] if report.bands is not None else []),
        ),
    )


def rows(report: ReportData) -> pd.DataFrame:
    """Precision at COCO's recalls by run, IoU threshold and class: one row a class, one column a recall."""
    frames = []
    for scored in report.runs:
        for iou in THRESHOLDS:
            frame = pd.DataFrame(
                scored.class_precision(iou), columns=[f"p{recall:.2f}" for recall in RECALLS]
            )
            frame.insert(0, "class_name", report.truth.catalog.classes)
            frame.insert(0, "iou", iou)
            frame.insert(0, "run_id", scored.run.result.name)
            frames.append(frame.dropna(subset=["p0.00"]))
    return pd.concat(frames, ignore_index=True)


def band_rows(report: ReportData) -> pd.DataFrame:
    """The bands of precision over recall, by IoU threshold and model."""
    return pd.concat(
        [
            band_frame(model.label, "precision", "recall", iou, RECALLS, band)
            for iou in THRESHOLDS
            for model, band in zip(report.models, bands_of(report, iou), strict=True)
        ],
        ignore_index=True,
    )


def band_frame(model: str, measure: str, over: str, iou: float, at: Floats, band: Band) -> pd.DataFrame:
    """A band as rows of ``bands.csv``."""
    named = {"model_id": model, "measure": measure, "over": over, "iou": iou, "at": at.round(6)}
    return pd.DataFrame(named | {"value": band.value, "low": band.low, "high": band.high})


def bands_of(report: ReportData, iou: float) -> list[Band]:
    """Each model's band of mean precision over recall; none where nothing was resampled."""
    if report.bands is None:
        return []
    found = report.bands.precision(iou)
    return [found[model.label] for model in report.models]


def _how_sure(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Shades are {method.confidence:.0%} intervals of the mean curve, from the same {method.resamples:,} resamples of the "
        f"{method.unit}s as everywhere on this page, each recall for itself: that a whole curve lies within its shade is "
        "less sure. Models are compared on the same images, so shades that overlap do not say that two models are tied: "
        "the differences do, above.",
    )


def _mean_over_classes(precision: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(precision, axis=0), np.float64)


def _figure(report: ReportData, curves: list[Floats], iou: float, finding: str, bands: list[Band]) -> Figure:
    title = f"Precision over recall at IoU {iou:.2f}, mean over classes"
    shades = [(band.low, band.high) for band in bands]
    return pr_curves(f"pr-{round(100 * iou)}", title, finding, report.labels, curves, shades)


def _finding(report: ReportData, curves: list[Floats], iou: float) -> str:
    """How far each gets before less than half of the detections are right."""
    if not np.isfinite(curves[0]).any():
        return "There is no object to be found, so there is no curve."
    reach = []
    for label, rows in zip(report.labels, curves, strict=True):
        good = np.flatnonzero(rows.mean(0) >= 0.5)
        reach.append((RECALLS[good[-1]] if len(good) else 0.0, label))
    if not any(recall for recall, _ in reach):
        return f"At IoU {iou:.2f} more than half of the detections are false at every recall."
    said = [f"{label} up to recall {recall:.2f}" for recall, label in reach]
    return f"At IoU {iou:.2f} precision stays above one half for {formatting.join_words(said)}."


def _table(report: ReportData, curves: list[Floats], iou: float, bands: list[Band]) -> PageTable:
    columns = (
        TableColumn("Recall", numeric=True),
        *(TableColumn(label, numeric=True) for label in report.labels),
    )
    rows = []
    for at in range(0, 101, 10):
        values = [float(rows_.mean(0)[at]) for rows_ in curves]
        notes = [formatting.fraction_interval(band.low[at], band.high[at]) for band in bands] or [""] * len(
            values
        )
        cells = [
            Cell("–" if math.isnan(value) else f"{value:.3f}", value, note=note)
            for value, note in zip(values, notes, strict=True)
        ]
        rows.append(TableRow((Cell(f"{RECALLS[at]:.1f}", RECALLS[at]), *cells)))
    return PageTable(
        f"pr-{round(100 * iou)}-table", f"Precision at recall, IoU {iou:.2f}, mean over classes", columns, tuple(rows),
        column_series=(None, *range(len(report.models))), folded=True,
    )  # fmt: skip
