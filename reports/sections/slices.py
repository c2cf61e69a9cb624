"""Slices: AP by size, aspect ratio, occlusion and position of the objects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from metrics.errors import InputWarning
from metrics.slices import (
    AXES,
    SliceComparison,
    SliceDifference,
    SliceTable,
    compare_slices,
    make_axis,
    measure_slices,
)
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

SHOWN = ("size", "aspect", "covered", "border")
"""Names of the axes on the page, which need no annotations beyond boxes."""

TOO_FEW = "fewer than 20 objects or 10 images"

Slices = list[list[SliceTable]]
"""The slices of each run of each model."""

Keys = list[tuple[str, str]]
"""Axis and slice."""


def slices_of(report: ReportData) -> Slices:
    """Measure all runs on all axes."""
    axes = [make_axis(name, report.truth) for name in SHOWN]
    return [[measure_slices(run.matches, axes, measures=()) for run in runs] for runs in report.evaluated]


def comparison_of(report: ReportData) -> SliceComparison | None:
    """Intervals and differences of the slices; None without statistics."""
    if report.statistics is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the verdict has the same text
        return compare_slices(
            report.matches(),
            [make_axis(name, report.truth) for name in SHOWN],
            resamples=report.options.resamples,
            groups=report.options.groups,
            image_columns=report.image_columns,
        )


def section(report: ReportData, slices: Slices, comparison: SliceComparison | None) -> Section | None:
    """Normalized AP by slice; None without valid objects."""
    keys = [(row.axis, row.value) for row in slices[0][0].rows if row.objects]
    if not keys:
        return None
    values = [
        np.array([[table.value("ap_n", axis, value) for table in tables] for axis, value in keys])
        for tables in slices
    ]
    figures = [
        _figure(report, name, [at for at, key in enumerate(keys) if key[0] == name], keys, values, comparison)
        for name in SHOWN
        if sum(axis == name for axis, _ in keys) > 1
    ]
    return Section(
        "slices",
        "Slices of objects",
        finding_text(report.labels, largest_differences(report, comparison), comparison is not None),
        figures=figures,
        tables=(_table(report, slices, keys, values, comparison),),
        method=(
            "In a slice only its own objects are valid. Detections matched to other objects are ignored, and all false positives "
            "count in every slice. Precision would therefore be low in small slices, so AP is normalized as if each class had "
            "the same number of objects in every slice (Hoiem et al. 2012). The IoU threshold is 0.50; values are means over "
            "classes.",
            *(f"{_title(name)}: {AXES[name].description}." for name in SHOWN),
            *_intervals_method(report),
        ),
        links=(
            Link("slices.csv", "values by run"),
            *([Link("slice-intervals.csv", "intervals by model")] if comparison is not None else []),
        ),
    )


def rows(report: ReportData, slices: Slices) -> pd.DataFrame:
    """All slices of all runs: ``slices.csv``."""
    frames = []
    for runs, tables in zip(report.evaluated, slices, strict=True):
        for run, table in zip(runs, tables, strict=True):
            frame = table.to_frame()
            frame = frame[frame["class"] == ""].drop(columns=["class"])
            frame.insert(0, "run_id", run.run.result.name)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def largest_differences(report: ReportData, comparison: SliceComparison | None) -> list[SliceDifference]:
    """The largest decisive difference of each model, over all axes; models without one are left out."""
    if comparison is None:
        return []
    found = []
    for model in report.models:
        known = [row for name in SHOWN if (row := comparison.largest(model.label, name)) is not None]
        if known:
            found.append(max(known, key=lambda row: row.delta))
    return found


def finding_text(labels: Sequence[str], found: Sequence[SliceDifference], measured: bool) -> str:
    """Describe the largest decisive difference between two slices, for each model that has one.

    Args:
        labels: of all models.
        found: from `largest_differences`.
        measured: whether there are intervals.
    """
    if not measured:
        return "The uncertainty of these slices was not measured, so no difference between them is named."
    if not found:
        return f"No two slices of an axis differ decisively; slices with {TOO_FEW} are not compared."
    pairs = [
        f"{formatting.printable(row.model)}, {AXES[row.axis].title}, {_difference_text(row)}" for row in found
    ]
    others = "" if len(found) == len(labels) else " The other models have none."
    return f"Largest decisive difference between two slices of an axis: {'; '.join(pairs)}.{others}"


def axis_text(found: Sequence[SliceDifference], measured: bool) -> str:
    """Describe the largest decisive difference of one axis, for each model that has one."""
    if not measured:
        return "The uncertainty of these slices was not measured."
    if not found:
        return f"No two slices differ decisively; slices with {TOO_FEW} are not compared."
    pairs = [f"{formatting.printable(row.model)}, {_difference_text(row)}" for row in found]
    return f"Largest decisive difference: {'; '.join(pairs)}."


def _difference_text(row: SliceDifference) -> str:
    ends = formatting.difference_interval(row.sim_low, row.sim_high)
    return f"{row.high} above {row.low} by {formatting.points(row.delta)} {ends} percentage points"


def _intervals_method(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Brackets and bars are {method.confidence:.0%} confidence intervals: Student's t with the standard error of "
        f"{formatting.plural(method.resamples, 'bootstrap replicate')}, as for AP. Two slices of an axis differ decisively if the simultaneous "
        f"interval of their difference, over all pairs of slices of the model, excludes 0. Slices with {TOO_FEW} are grey and "
        "not compared.",
    )


def _title(axis: str) -> str:
    title = AXES[axis].title
    return title[:1].upper() + title[1:]


def _figure(
    report: ReportData,
    axis: str,
    indices: list[int],
    keys: Keys,
    values: list[Floats],
    comparison: SliceComparison | None,
) -> Figure:
    names = [keys[at][1] for at in indices]
    intervals = pale = None
    found: list[SliceDifference] = []
    if comparison is not None:
        known = [[comparison.interval(model.label, axis, name) for name in names] for model in report.models]
        intervals = [np.array([(row.ci_low, row.ci_high) for row in of]) for of in known]
        pale = [np.array([row.too_few for row in of]) for of in known]
        largest = [comparison.largest(model.label, axis) for model in report.models]
        found = [row for row in largest if row is not None]
    return dot_plot(
        f"slices-{axis}", _title(axis), axis_text(found, comparison is not None), names, report.labels,
        [each[indices] for each in values], "normalized AP50 (%)", intervals=intervals, pale=pale,
    )  # fmt: skip


def _table(
    report: ReportData,
    slices: Slices,
    keys: Keys,
    values: list[Floats],
    comparison: SliceComparison | None,
) -> PageTable:
    counts = {(row.axis, row.value): row.objects for row in slices[0][0].rows}
    made = []
    for at, (axis, value) in enumerate(keys):
        known = (
            [comparison.interval(model.label, axis, value) for model in report.models]
            if comparison is not None
            else [None] * len(values)
        )
        few = any(row is not None and row.too_few for row in known)
        cells = [
            Cell(value, note="too few objects" if few else ""),
            Cell(_title(axis)),
            Cell(formatting.count(counts[axis, value]), counts[axis, value], faint=few),
        ]
        for each, row in zip(values, known, strict=True):
            mean = float(each[at].mean())
            note = "" if row is None else formatting.points_interval(row.ci_low, row.ci_high)
            cells.append(Cell(formatting.points(mean), mean, note=note, faint=few))
        made.append(TableRow(tuple(cells)))
    whole = [
        float(np.mean([next(row.value for row in table.whole if row.name == "ap_n") for table in tables]))
        for tables in slices
    ]
    valid = int(report.evaluated[0][0].outcome.valid.sum())
    made.append(
        TableRow(
            (
                Cell("all objects"),
                Cell(formatting.MISSING),
                Cell(formatting.count(valid), valid),
                *(Cell(formatting.points(value), value) for value in whole),
            )
        )
    )
    columns = (
        TableColumn("Slice"), TableColumn("Axis"), TableColumn("Objects", numeric=True),
        *(TableColumn(label, numeric=True) for label in report.labels),
    )  # fmt: skip
    return PageTable(
        "slices-table", "Normalized AP50 by slice, in percent", columns, tuple(made),
        column_series=(None, None, None, *range(len(report.models))),
    )  # fmt: skip
