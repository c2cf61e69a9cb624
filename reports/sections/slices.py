"""Slices: AP by size, aspect ratio, occlusion and position of the objects."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metrics.slices import SliceTable, make_axis, measure_slices
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

TITLES = {
    "size": "Size within the class",
    "aspect": "Aspect ratio within the class",
    "covered": "Overlap with other boxes",
    "border": "Contact with the image border",
}
"""Headings of the axes, which need no annotations beyond boxes."""

_DESCRIPTIONS = {
    "size": "rank of the area within the class: the smallest tenth, the next fifth, two fifths, a fifth, and the largest tenth",
    "aspect": "rank of width over height within the class: the tallest tenth, the next fifth, and so on to the widest tenth",
    "covered": "the largest share of the box that the box of another object covers",
    "border": "whether the box is within 2 pixels of the image border, so that the object may be truncated",
}

Slices = list[list[SliceTable]]
"""The slices of each run of each model."""

Keys = list[tuple[str, str]]
"""Axis and slice."""


def slices_of(report: ReportData) -> Slices:
    """Measure all runs on all axes."""
    axes = [make_axis(name, report.truth) for name in TITLES]
    return [[measure_slices(run.matches, axes, measures=()) for run in runs] for runs in report.evaluated]


def section(report: ReportData, slices: Slices) -> Section | None:
    """Normalized AP by slice; None without valid objects."""
    keys = [(row.axis, row.value) for row in slices[0][0].rows]
    counts = {(row.axis, row.value): row.objects for row in slices[0][0].rows}
    keys = [key for key in keys if counts[key]]
    if not keys:
        return None
    values = [
        np.array([[table.value("ap_n", axis, value) for table in tables] for axis, value in keys])
        for tables in slices
    ]
    figures = []
    for axis, title in TITLES.items():
        indices = [at for at, key in enumerate(keys) if key[0] == axis]
        if len(indices) > 1:
            figures.append(
                dot_plot(
                    f"slices-{axis}", title, _spread(report, keys, values, axis), [keys[at][1] for at in indices],
                    report.labels, [each[indices] for each in values], "normalized AP50 (points of 100)",
                )
            )  # fmt: skip
    return Section(
        "slices",
        "Slices of objects",
        _finding(report, keys, values),
        figures=figures,
        tables=(_table(report, slices, keys, counts, values),),
        method=(
            "In a slice only its own objects are valid. Detections matched to other objects are ignored, and all false positives "
            "count in every slice. Precision would therefore be low in small slices, so AP is normalized as if each class had "
            "the same number of objects in every slice (Hoiem et al. 2012). The IoU threshold is 0.50; values are means over "
            "classes.",
            *(f"{title}: {_DESCRIPTIONS[name]}." for name, title in TITLES.items()),
        ),
        links=(Link("slices.csv", "values by run"),),
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


def _extremes(keys: Keys, values: Floats, axis: str) -> tuple[tuple[float, str], tuple[float, str]] | None:
    """The lowest and the highest slice of an axis for one model; None if fewer than two have an AP."""
    means = [(float(values[at].mean()), value) for at, (name, value) in enumerate(keys) if name == axis]
    known = [(number, value) for number, value in means if np.isfinite(number)]
    return (min(known), max(known)) if len(known) > 1 else None


def _spread(report: ReportData, keys: Keys, values: list[Floats], axis: str) -> str:
    parts = []
    for label, of_model in zip(report.labels, values, strict=True):
        extremes = _extremes(keys, of_model, axis)
        if extremes:
            (low, worst), (high, best) = extremes
            parts.append(
                f"{formatting.points(low)} ({worst}) to {formatting.points(high)} ({best}) for {label}"
            )
    return (
        f"Normalized AP50 ranges from {formatting.join_words(parts)}."
        if parts
        else "Fewer than two slices have an AP."
    )


def _finding(report: ReportData, keys: Keys, values: list[Floats]) -> str:
    """The axis with the largest spread for each model."""
    most: dict[str, list[str]] = {}
    for label, of_model in zip(report.labels, values, strict=True):
        spread = {
            axis: extremes[1][0] - extremes[0][0]
            for axis in TITLES
            if (extremes := _extremes(keys, of_model, axis))
        }
        if spread:
            most.setdefault(max(spread, key=spread.__getitem__), []).append(label)
    if not most:
        return "No axis has two slices with an AP."
    parts = []
    for axis, labels in most.items():
        models = "all models" if len(labels) == len(report.labels) > 1 else formatting.join_words(labels)
        chosen = [of_model for label, of_model in zip(report.labels, values, strict=True) if label in labels]
        extremes = _extremes(keys, np.concatenate(chosen, axis=1), axis)
        assert extremes is not None
        (low, worst), (high, best) = extremes
        parts.append(
            f"{TITLES[axis]} makes the largest difference for {models}: normalized AP50 is {formatting.points(low)} ({worst}) to "
            f"{formatting.points(high)} ({best})."
        )
    return " ".join(parts)


def _table(
    report: ReportData,
    slices: Slices,
    keys: Keys,
    counts: dict[tuple[str, str], int],
    values: list[Floats],
) -> PageTable:
    made = []
    for at, (axis, value) in enumerate(keys):
        cells = [
            Cell(value),
            Cell(TITLES[axis]),
            Cell(formatting.count(counts[axis, value]), counts[axis, value]),
        ]
        cells += [Cell(formatting.points(mean), mean) for mean in (float(each[at].mean()) for each in values)]
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
                Cell("–"),
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
        "slices-table", "Normalized AP50 by slice, in points of 100", columns, tuple(made),
        column_series=(None, None, None, *range(len(report.models))),
    )  # fmt: skip
