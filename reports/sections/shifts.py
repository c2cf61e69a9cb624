"""Shifts: AP by the size of objects and by the brightness of the test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.plurals import agree
from reports.analysis.report_data import ReportData
from reports.analysis.shifts import Shift, ShiftedModel
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.lines import Curve, LineAxes, lines

AXES = {
    "size": "size of objects, relative to the test images",
    "brightness": "brightness, relative to the test images",
}


def section(report: ReportData, shifts: Sequence[Shift]) -> Section | None:
    """AP over the factors of each shift; None without measurements."""
    if not shifts:
        return None
    missing = list(dict.fromkeys(label for shift in shifts for label in shift.left_out))
    return Section(
        "shifts",
        "Other sizes and brightness",
        " ".join(finding_text(report.labels, shift) for shift in shifts),
        figures=[_figure(report.labels, shift) for shift in shifts],
        tables=tuple(_table(report.labels, shift) for shift in shifts),
        warnings=((f"Not measured on these images: {formatting.join_words(missing)}.",) if missing else ()),
        method=(
            "Size: the image is scaled about its centre; grey surrounds a smaller one, a larger one is cut, and objects with less "
            "than half of their box left are ignored. AP at factors above 1 is therefore on fewer objects. Brightness: all values are "
            "multiplied, and limited to 255.",
            "Intervals are percentiles of the bootstrap over images, paired for differences; they do not contain the variance "
            "between seeds.",
        ),
        links=(Link("shifts.csv", "values by model, shift and factor"),),
    )


def finding_text(labels: Sequence[str], shift: Shift) -> str:
    """The largest decisive loss of each model, or that there is none."""
    texts = [_loss_text(labels[model.number], shift, model) for model in shift.models]
    return f"{shift.name.capitalize()}: {'; '.join(texts)}."


def _loss_text(label: str, shift: Shift, model: ShiftedModel) -> str:
    lost = [
        (change, factor)
        for change, factor in zip(model.changes, shift.factors, strict=True)
        if factor != 1 and change.high < 0
    ]
    if not lost:
        return f"no decisive loss of {label} between {shift.factors[0]:g} and {shift.factors[-1]:g} {agree(shift.factors[-1], 'time')} the {shift.name}"
    change, factor = min(lost, key=lambda pair: pair[0].value)
    ends = formatting.difference_interval(change.low, change.high)
    return f"{label} loses most AP at {factor:g} {agree(factor, 'time')} the {shift.name}, {formatting.signed_points(change.value)} points {ends}"


def _figure(labels: Sequence[str], shift: Shift) -> Figure:
    curves: list[list[Curve]] = [[] for _ in labels]
    empty = np.zeros(0)
    bands = [(empty, empty, empty) for _ in labels]
    x = np.array(shift.factors)
    for model in shift.models:
        values, low, high = (
            100 * np.array([getattr(value, name) for value in model.values])
            for name in ("value", "low", "high")
        )
        curves[model.number] = [(x, values)]
        bands[model.number] = (x, low, high)
    best = max(shift.models, key=lambda model: _lowest(model))
    finding = f"The lowest AP is highest with {labels[best.number]}: {formatting.points(_lowest(best))}."
    title = f"AP by {'size of objects' if shift.name == 'size' else 'brightness'}"
    limits = shift.factors[0] / 1.05, shift.factors[-1] * 1.05
    drawn = lines(
        f"shift-{shift.name}", title, finding, labels, curves,
        LineAxes(AXES.get(shift.name, shift.name), "AP (%)", x_limits=limits, log_x=True, ticks=shift.factors), bands=bands,
    )  # fmt: skip
    return replace(drawn, caption=f"{finding} Bands are 95% intervals over images.")


def _lowest(model: ShiftedModel) -> float:
    values = [value.value for value in model.values]
    return -math.inf if any(map(math.isnan, values)) else min(values)


def _table(labels: Sequence[str], shift: Shift) -> PageTable:
    made = []
    for at, factor in enumerate(shift.factors):
        cells = [Cell(f"{factor:g}", factor)]
        for model in shift.models:
            value, change = model.values[at], model.changes[at]
            note = "" if factor == 1 else (
                f"{formatting.signed_points(change.value)} {formatting.difference_interval(change.low, change.high)}"
            )  # fmt: skip
            cells.append(Cell(formatting.points(value.value), value.value, note=note))
        made.append(TableRow(tuple(cells)))
    columns = (
        TableColumn("Times", True),
        *(TableColumn(labels[model.number], numeric=True) for model in shift.models),
    )
    return PageTable(
        f"shift-{shift.name}-table",
        f"AP by {shift.name} in percent, and the change from the test images with a paired 95% interval",
        columns,
        tuple(made),
        column_series=(None, *(model.number for model in shift.models)),
    )
