"""Confusions between classes: the most frequent ones, each model's matrix, and ``confusion.csv``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from metrics.measures.error_types import FALSE_POSITIVES
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, PageTable, TableColumn, TableRow

MAX_PAIRS = 15
"""Number of confusions in the table; confusion.csv has all."""

MAX_CLASSES = 12
"""With more classes the matrix is unreadable, and only the list is shown."""

METHOD = (
    "The confusion matrix has a row for each class of objects and a column for each class of detections. First the true "
    "positives are paired with their objects; then false positives of the type classification are paired with the objects "
    "that are left, one to one, in order of decreasing IoU, if it is at least 0.5. Objects that are left after that have no detection: they are in the "
    "last column, whether a box with a localization error lies on them or nothing does. False positives without an object "
    "are in the last rows, by type; classification errors are among them where their object has another detection. So each row of a "
    "class adds up to its objects, each column to its detections, and all cells off the diagonal except the last column to "
    "the false positives."
)
"""The convention of the matrix; docs/measures.md has the same in more detail."""


def rows(report: ReportData) -> pd.DataFrame:
    """The non-zero cells of every run's confusion matrix: ``confusion.csv``."""
    frames = []
    for run in report.runs:
        frame = run.confusion.to_frame()
        frame.insert(0, "run_id", run.run.result.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def tables(report: ReportData) -> Iterator[PageTable]:
    """The most frequent confusions and the matrices; nothing with one class, no matrices with many."""
    if len(report.classes) > 1:
        yield _pairs(report)
    if 1 < len(report.classes) <= MAX_CLASSES:
        yield from (_matrix(report, number) for number in range(len(report.models)))


def summed(report: ReportData, model: int | None = None) -> str:
    """Caption of counts that are sums over the runs of a model, or of each; empty where no model has several."""
    runs = report.seeds if model is None else len(report.evaluated[model])
    if runs == 1:
        return ""
    return (
        f", summed over {formatting.plural(runs, 'run')}"
        if model is not None
        else ", summed over each model's runs"
    )


def _pairs(report: ReportData) -> PageTable:
    """The most frequent confusions between classes, with every model's count."""
    classes, many = report.classes, len(report.classes)
    counts: dict[tuple[int, int], list[int]] = {}
    for number, runs in enumerate(report.evaluated):
        for run in runs:
            matrix = run.confusion
            for true, predicted, count in zip(matrix.true, matrix.predicted, matrix.count, strict=True):
                if true != predicted and true < many and predicted < many:
                    row = counts.setdefault((int(true), int(predicted)), [0] * len(report.models))
                    row[number] += int(count)
    order = sorted(counts, key=lambda pair: (-sum(counts[pair]), pair))[:MAX_PAIRS]
    rows = []
    for true, predicted in order:
        cells = [Cell(classes[true]), Cell(classes[predicted])]
        cells += [Cell(formatting.count(number), number) for number in counts[true, predicted]]
        rows.append(TableRow(tuple(cells)))
    left = len(counts) - len(order)
    more = f"; confusion.csv has {left} more" if left else ""
    none = " (none)" if not counts else ""
    columns = (
        TableColumn("True class"), TableColumn("Predicted class"), *(TableColumn(label, numeric=True) for label in report.labels),
    )  # fmt: skip
    return PageTable(
        "confusions-table",
        f"Most frequent confusions: objects paired with a detection of another class{summed(report)}{more}{none}",
        columns, tuple(rows), column_series=(None, None, *range(len(report.models))),
    )  # fmt: skip


def _matrix(report: ReportData, number: int) -> PageTable:
    """The confusion matrix of a model, summed over its runs, with a row for each type of unpaired false positive."""
    matrices = [run.confusion for run in report.evaluated[number]]
    counts = np.sum([matrix.counts for matrix in matrices], axis=0)
    unpaired = np.sum([matrix.without_object for matrix in matrices], axis=0)
    rows = []
    for name, line in zip(report.classes, counts, strict=False):
        cells = [Cell(name)]
        for count in line:
            heat = float(count / line.sum()) if count else None
            cells.append(Cell(formatting.count(int(count)), int(count), heat=heat))
        rows.append(TableRow(tuple(cells)))
    for kind, line in zip(FALSE_POSITIVES, unpaired, strict=True):
        cells = [Cell(UNPAIRED_NAMES[kind])]
        for count in line:
            heat = float(count / unpaired.sum()) if count else None
            cells.append(Cell(formatting.count(int(count)), int(count), heat=heat))
        rows.append(TableRow((*cells, Cell(""))))
    columns = (
        TableColumn("True class"), *(TableColumn(name, numeric=True) for name in report.classes),
        TableColumn("no detection", numeric=True),
    )  # fmt: skip
    return PageTable(
        f"confusion-{number}",
        f"Confusion matrix of {report.labels[number]}{summed(report, number)}: rows are true classes and, below them, "
        "detections without an object by type; columns are predicted classes",
        columns, tuple(rows), folded=True, series=number,
    )  # fmt: skip


UNPAIRED_NAMES = {
    "classification": "(classification; object has another detection)",
    "localization": "(localization)",
    "both": "(both)",
    "duplicate": "(duplicate)",
    "background": "(background)",
}
"""Headings of the rows of detections without an object."""
