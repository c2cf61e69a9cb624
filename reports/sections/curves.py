"""Precision-recall curves at a loose and at a strict IoU threshold."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from metrics.compare import Band
from metrics.compare.verdict import EQUAL
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.pr_curves import RECALLS, pr_curves

THRESHOLDS = (0.5, 0.75)


def section(report: ReportData) -> Section:
    """Precision over recall at each IoU threshold of `THRESHOLDS`."""
    figures, tables, findings = [], [], []
    for iou in THRESHOLDS:
        curves = [
            np.stack([mean_over_classes(run.class_precision(iou)) for run in runs])
            for runs in report.evaluated
        ]
        finding = (
            reach_text(precision_reaches(report, curves), iou)
            if np.isfinite(curves[0]).any()
            else "There are no valid objects, so precision and recall are not defined."
        )
        bands = bands_of(report, iou)
        findings.append(finding)
        figures.append(_figure(report, curves, iou, finding, bands))
        tables.append(_table(report, curves, iou, bands))
    return Section(
        "curves",
        "Precision and recall",
        findings[0],
        figures=(replace(figures[0], caption=report.bands_caption), *figures[1:]),
        tables=tables,
        method=(
            "Precision is the share of true positives among detections, recall the share of valid objects that are detected; "
            "both vary with the score threshold. At each recall the curve shows the highest precision at that recall or "
            "above, as a mean over the classes with valid objects; where a class does not reach a recall, its precision is 0. "
            "The area under the curve is the AP at that IoU threshold.",
            *_intervals_method(report),
        ),
        links=(
            Link("curves.csv", "precision at 101 recalls, by run and class"),
            *([Link("bands.csv", "the intervals, by model")] if report.bands is not None else []),
        ),
    )


def rows(report: ReportData) -> pd.DataFrame:
    """Precision by run, IoU threshold and class, one column per recall: ``curves.csv``."""
    frames = []
    for run in report.runs:
        for iou in THRESHOLDS:
            frame = pd.DataFrame(run.class_precision(iou), columns=[f"p{recall:.2f}" for recall in RECALLS])
            frame.insert(0, "class_name", report.truth.catalog.classes)
            frame.insert(0, "iou", iou)
            frame.insert(0, "run_id", run.run.result.name)
            frames.append(frame.dropna(subset=["p0.00"]))
    return pd.concat(frames, ignore_index=True)


def band_rows(report: ReportData) -> pd.DataFrame:
    """The intervals of precision over recall, by IoU threshold and model."""
    return pd.concat(
        [
            band_frame(model.label, "precision", "recall", iou, RECALLS, band)
            for iou in THRESHOLDS
            for model, band in zip(report.models, bands_of(report, iou), strict=True)
        ],
        ignore_index=True,
    )


def band_frame(model: str, measure: str, over: str, iou: float, at: Floats, band: Band) -> pd.DataFrame:
    """Convert a band to rows of ``bands.csv``."""
    named = {"model_id": model, "measure": measure, "over": over, "iou": iou, "at": at.round(6)}
    return pd.DataFrame(named | {"value": band.value, "low": band.low, "high": band.high})


def bands_of(report: ReportData, iou: float) -> list[Band]:
    """Each model's band of mean precision over recall; empty without resampling."""
    if report.bands is None:
        return []
    bands = report.bands.precision(iou)
    return [bands[model.label] for model in report.models]


def _intervals_method(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Shaded areas are pointwise {method.confidence:.0%} confidence intervals of the mean curve, from the same "
        f"{formatting.plural(method.resamples, 'bootstrap replicate')} as all intervals on this page; they cover the whole curve with a "
        "lower probability."
        + " Models are compared on the same images, so overlapping areas do not mean that two models are tied: see the "
        "pairwise differences." * (len(report.models) > 1),
    )


def mean_over_classes(precision: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(precision, axis=0), np.float64)


def _figure(report: ReportData, curves: list[Floats], iou: float, finding: str, bands: list[Band]) -> Figure:
    title = f"Precision over recall at IoU threshold {iou:.2f}, mean over classes"
    shades = [(band.low, band.high) for band in bands]
    return pr_curves(f"pr-{round(100 * iou)}", title, finding, report.labels, curves, shades)


def precision_reaches(report: ReportData, curves: Sequence[Floats]) -> list[tuple[str, float]]:
    """For each model the highest recall level with a mean precision of at least one half.

    Precision is the envelope, so it falls with recall and is one half or more up to that level. NaN where it is below one
    half at recall 0 already, or not defined.
    """
    reaches = []
    for label, rows in zip(report.labels, curves, strict=True):
        good = np.flatnonzero(rows.mean(0) >= 0.5 - EQUAL)
        reaches.append((label, float(RECALLS[good[-1]]) if len(good) else math.nan))
    return reaches


def reach_text(reaches: Sequence[tuple[str, float]], iou: float) -> str:
    """Describe the recall up to which precision is at least one half."""
    if all(math.isnan(recall) for _, recall in reaches):
        models = " for all models" if len(reaches) > 1 else ""
        return f"At IoU threshold {iou:.2f}, precision is below one half at every recall{models}."
    parts = [f"{label} {_up_to(recall)}" for label, recall in reaches if not math.isnan(recall)]
    never = [label for label, recall in reaches if math.isnan(recall)]
    text = f"At IoU threshold {iou:.2f}, precision is at least one half for {formatting.join_words(parts)}"
    return f"{text}; for {formatting.join_words(never)} it is below one half." if never else f"{text}."


def _up_to(recall: float) -> str:
    return f"up to recall {recall:.2f}" if recall else "at recall 0 only"


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
            Cell(formatting.fixed(value), value, note=note) for value, note in zip(values, notes, strict=True)
        ]
        rows.append(TableRow((Cell(f"{RECALLS[at]:.1f}", RECALLS[at]), *cells)))
    return PageTable(
        f"pr-{round(100 * iou)}-table", f"Precision by recall at IoU threshold {iou:.2f}, mean over classes", columns, tuple(rows),
        column_series=(None, *range(len(report.models))), folded=True,
    )  # fmt: skip
