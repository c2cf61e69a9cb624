"""Errors: missed and confused objects, false positives on background, localization; TIDE, confusions and oLRP."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from metrics.measures.error_types import KINDS
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

RATES = (
    ("missed", "Missed objects"),
    ("confused", "Confused objects"),
    ("unmatched", "Unmatched detections"),
    ("localization", "Localization error"),
)
"""Short name and heading of each error rate."""

ERROR_NAMES = {
    "classification": "classification errors",
    "localization": "localization errors",
    "both": "errors in both class and localization",
    "duplicate": "duplicates",
    "background": "false positives on background",
    "missed": "missed objects",
}
"""TIDE's error types in the plural."""

MAX_PAIRS = 15
"""Number of confusions in the table; confusion.csv has all."""

MAX_CLASSES = 12
"""With more classes the matrix is unreadable, and only the list is shown."""


def section(report: ReportData) -> Section:
    """Error rates at each model's highest F1, TIDE costs, confusions and optimal LRP."""
    values = [np.stack([_error_rates(run) for run in runs], axis=1) for runs in report.evaluated]
    figure = dot_plot(
        "errors", "Error rates at each model's highest F1", _finding(report, values),
        [label for _, label in RATES], report.labels, values, "points of 100; lower is better",
    )  # fmt: skip
    costs = _costs(report)
    tables = [_table(report, values), _cost_table(report)]
    if len(report.classes) > 1:
        tables += [_pairs(report)]
    if 1 < len(report.classes) <= MAX_CLASSES:
        tables += [_matrix(report, number) for number in range(len(report.models))]
    return Section(
        "errors",
        "Errors",
        _finding(report, values),
        figures=(
            replace(figure, caption=report.seeds_caption),
            replace(costs, caption=f"{costs.finding} {report.markers_caption}".strip()),
        ),
        tables=tables,
        method=(
            "At the score threshold of a model's highest F1, objects and detections are paired one to one at an IoU of at least "
            "0.5, first within classes and then, for those left over, across classes. An unpaired object is missed; an object "
            "paired with a detection of another class is confused. An unpaired detection is on background, localized too "
            "poorly, or a duplicate. Localization error is the mean of 1 - IoU over true positives.",
            "The cost of an error type is the increase in AP at IoU 0.50 if its errors were corrected and nothing else changed, "
            "over all scores (TIDE, Bolya et al. 2020). Localization: correct class, IoU of 0.1 to 0.5. Classification: wrong "
            "class, IoU of at least 0.5. Both: wrong class and IoU of 0.1 to 0.5. Duplicate: the object has a "
            "higher-scoring true positive. Background: IoU below 0.1 with all objects. Missed: objects that no other type of error "
            "covers. Costs interact, so they do not add up to the AP that is lacking, and they can be negative.",
            "oLRP (Oksuz et al., TPAMI 2022) combines false positives, false negatives and localization error at each class's "
            "optimal score threshold into an error from 0 to 1, averaged over classes; lower is better.",
        ),
        links=(Link("confusion.csv", "confusion matrices, by run"), Link("metrics.csv", "AP by class")),
    )


def _costs(report: ReportData) -> Figure:
    """The AP50 that correcting each error type would gain."""
    values = [
        np.stack([[run.error_types[f"cost_{kind}"] for run in runs] for kind in KINDS])
        for runs in report.evaluated
    ]
    parts = []
    for label, seeds in zip(report.labels, values, strict=True):
        means = seeds.mean(1)
        if np.isfinite(means).all():
            worst = int(np.argmax(means))
            gain = formatting.signed_points(float(means[worst]))
            parts.append(f"{ERROR_NAMES[KINDS[worst]]} for {label} ({gain})")
    finding = (
        f"AP50 would increase most by correcting {formatting.join_words(parts)}."
        if parts
        else "There are no valid objects, so error costs are not defined."
    )
    return dot_plot(
        "error-costs", "Cost of each error type in AP50", finding, [kind.capitalize() for kind in KINDS], report.labels, values,
        "gain in AP50 if corrected (points of 100)", intervals=report.intervals([f"cost_{kind}" for kind in KINDS]), zero=True,
        pale=[np.full(len(KINDS), report.too_few)] * len(report.models),
    )  # fmt: skip


def _cost_table(report: ReportData) -> PageTable:
    rows, intervals = [], report.intervals([f"cost_{kind}" for kind in KINDS])
    for number, runs in enumerate(report.evaluated):
        cells = [Cell(report.labels[number])]
        for at, kind in enumerate(KINDS):
            cost = float(np.mean([run.error_types[f"cost_{kind}"] for run in runs]))
            count = float(np.mean([run.error_types[f"errors_{kind}"] for run in runs]))
            interval = formatting.points_interval(*intervals[number][at]) if intervals else ""
            errors = formatting.plural(round(count), "error") if np.isfinite(count) else ""
            note = " ".join(filter(None, (interval, errors)))
            cells.append(Cell(formatting.signed_points(cost), cost, note=note))
        rows.append(TableRow(tuple(cells), series=number))
    columns = (
        TableColumn("Model"),
        *(TableColumn(kind.capitalize(), numeric=True) for kind in KINDS),
    )
    return PageTable(
        "costs-table", f"Gain in AP50 (points of 100) if the errors of each type were corrected; below, {'its 95% interval and ' * bool(intervals)}"
        "the number of errors at all scores", columns, tuple(rows),
    )  # fmt: skip


def confusion_rows(report: ReportData) -> pd.DataFrame:
    """The non-zero cells of every run's confusion matrix: ``confusion.csv``."""
    frames = []
    for run in report.runs:
        frame = run.confusion.to_frame()
        frame.insert(0, "run_id", run.run.result.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _error_rates(run: EvaluatedRun) -> Floats:
    """Shares of missed and confused objects and of unmatched detections; mean localization error."""
    matrix = run.confusion
    background = len(matrix.classes)
    objects, detections = int(matrix.objects[:-1].sum()), int(matrix.detections[:-1].sum())
    missed = int(matrix.count[matrix.predicted == background].sum())
    unmatched = int(matrix.count[matrix.true == background].sum())
    confused = objects - missed - int(matrix.correct.sum())
    right = run.kept & run.outcome.tp
    localization = float((1 - run.outcome.iou[right]).mean()) if right.any() else np.nan
    return np.array(
        [
            missed / objects if objects else np.nan,
            confused / objects if objects else np.nan,
            unmatched / detections if detections else np.nan,
            localization,
        ]
    )


def _finding(report: ReportData, values: Sequence[Floats]) -> str:
    if np.isnan(values[0][0]).all():
        return "There are no valid objects, so error rates are not defined."
    parts = []
    for label, seeds in zip(report.labels, values, strict=True):
        missed, confused, unmatched, _ = _means(seeds)
        text = f"{label} misses {_percent(missed)} of the objects"
        text += f" and confuses the class of {_percent(confused)}" if len(report.classes) > 1 else ""
        text += f"; {_percent(unmatched)} of its detections match no object" if np.isfinite(unmatched) else ""
        parts.append(f"{text}.")
    return " ".join(parts)


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _means(seeds: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(seeds, axis=1), np.float64)


def _table(report: ReportData, values: Sequence[Floats]) -> PageTable:
    rows = []
    for number, (runs, seeds) in enumerate(zip(report.evaluated, values, strict=True)):
        cells = [Cell(report.labels[number])]
        cells += [Cell(formatting.points(value), float(value)) for value in _means(seeds)]
        error = _means(np.array([[_mean_error(run) for run in runs]]))[0]
        standing = report.standings("olrp")[number] if report.statistics is not None else None
        note = formatting.fraction_interval(standing.ci_low, standing.ci_high) if standing else ""
        cells.append(Cell("–" if np.isnan(error) else f"{error:.3f}", float(error), note=note))
        rows.append(TableRow(tuple(cells), series=number))
    columns = (
        TableColumn("Model"),
        *(TableColumn(label, numeric=True) for _, label in RATES),
        TableColumn("oLRP", numeric=True),
    )
    return PageTable(
        "errors-table", "Error rates in points of 100, and oLRP; lower is better", columns, tuple(rows)
    )


def _mean_error(run: EvaluatedRun) -> float:
    known = run.lrp.error[~np.isnan(run.lrp.error)]
    return float(known.mean()) if len(known) else np.nan


def _pairs(report: ReportData) -> PageTable:
    """The most frequent confusions between classes, with every model's count."""
    classes, many = report.classes, len(report.classes)
    counts: dict[tuple[int, int], list[float]] = {}
    for number, runs in enumerate(report.evaluated):
        for run in runs:
            matrix = run.confusion
            for true, predicted, count in zip(matrix.true, matrix.predicted, matrix.count, strict=True):
                if true != predicted and true < many and predicted < many:
                    row = counts.setdefault((int(true), int(predicted)), [0.0] * len(report.models))
                    row[number] += count / len(runs)
    order = sorted(counts, key=lambda pair: (-sum(counts[pair]), pair))[:MAX_PAIRS]
    rows = []
    for true, predicted in order:
        cells = [Cell(classes[true]), Cell(classes[predicted])]
        cells += [Cell(_count(number), number) for number in counts[true, predicted]]
        rows.append(TableRow(tuple(cells)))
    left = len(counts) - len(order)
    more = f"; confusion.csv has {left} more" if left else ""
    none = " (none)" if not counts else ""
    columns = (
        TableColumn("True class"), TableColumn("Predicted class"), *(TableColumn(label, numeric=True) for label in report.labels),
    )  # fmt: skip
    return PageTable(
        "confusions-table", f"Most frequent confusions between classes, counts{more}{none}", columns,
        tuple(rows), column_series=(None, None, *range(len(report.models))),
    )  # fmt: skip


def _matrix(report: ReportData, number: int) -> PageTable:
    """The confusion matrix of a model's first run."""
    matrix = report.evaluated[number][0].confusion
    names = (*report.classes, "background")
    sums = np.maximum(matrix.counts.sum(1, keepdims=True), 1)
    rows = []
    for true, name in enumerate(names):
        cells = [Cell(name)]
        for predicted, count in enumerate(matrix.counts[true]):
            if true == predicted == len(names) - 1:
                cells.append(Cell(""))
            else:
                heat = float(count / sums[true, 0])
                cells.append(Cell(formatting.count(int(count)), int(count), heat=heat if count else None))
        rows.append(TableRow(tuple(cells)))
    columns = (TableColumn("True class"), *(TableColumn(name, numeric=True) for name in names))
    label = report.labels[number]
    first = ", first run" if report.seeds > 1 else ""
    return PageTable(
        f"confusion-{number}", f"Confusion matrix of {label}{first}: rows are true classes, columns predicted classes", columns,
        tuple(rows), folded=True, series=number,
    )  # fmt: skip


def _count(number: float) -> str:
    return formatting.count(number) if float(number).is_integer() else f"{number:.1f}"
