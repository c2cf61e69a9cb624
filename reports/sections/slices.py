"""On which kinds of object each model is good, and on which not: by size, shape, cover and place."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metrics.slices import AXES, SliceTable, make_axis, measure_slices
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

SHOWN = {
    "size": "Size within the class",
    "aspect": "Shape within the class",
    "covered": "How much of the box another one covers",
    "border": "Nearness to the border",
}
"""Ways of slicing that need no further labels, and what the page calls them."""

Slices = list[list[SliceTable]]
"""For each model its runs'."""

Keys = list[tuple[str, str]]
"""Way of slicing and slice."""


def slices_of(report: ReportData) -> Slices:
    """Every run by every way of slicing."""
    axes = [make_axis(name, report.truth) for name in SHOWN]
    return [[measure_slices(run.matches, axes, measures=()) for run in runs] for runs in report.scored]


def section(report: ReportData, slices: Slices) -> Section | None:
    """Normalised AP by slice; None where there is no object to slice."""
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
    for axis, title in SHOWN.items():
        places = [at for at, key in enumerate(keys) if key[0] == axis]
        if len(places) > 1:
            figures.append(
                dot_plot(
                    f"slices-{axis}", title, _spread(report, keys, values, axis), [keys[at][1] for at in places],
                    report.labels, [found[places] for found in values], "normalised AP50 (points of 100)",
                )
            )  # fmt: skip
    return Section(
        "slices",
        "Kinds of object",
        _finding(report, keys, values),
        figures=figures,
        tables=(_table(report, slices, keys, counts, values),),
        method=(
            "Only the objects of a slice are asked for; detections that find other objects are ignored, and every false "
            "detection counts in every slice. As precision would then be low in a small slice only because it is small, "
            "AP is normalised (Hoiem et al. 2012): as if each class had equally many objects in every slice. It is at "
            "IoU 0.50, mean over classes.",
            *(f"{title}: {_summary(name)}" for name, title in SHOWN.items()),
        ),
        links=(Link("slices.csv", "the same by run"),),
    )


def rows(report: ReportData, slices: Slices) -> pd.DataFrame:
    """All slices of all runs below each other, with the run's name."""
    frames = []
    for runs, tables in zip(report.scored, slices, strict=True):
        for run, table in zip(runs, tables, strict=True):
            frame = table.to_frame()
            frame = frame[frame["class"] == ""].drop(columns=["class"])
            frame.insert(0, "run_id", run.run.result.name)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _summary(name: str) -> str:
    text = (AXES[name].__doc__ or "").strip().split("\n")[0]
    return text[0].lower() + text[1:]


def _ends(keys: Keys, found: Floats, axis: str) -> tuple[tuple[float, str], tuple[float, str]] | None:
    """The worst and the best slice of a way of slicing, for one model; None where fewer than two have an AP."""
    means = [(float(found[at].mean()), value) for at, (name, value) in enumerate(keys) if name == axis]
    known = [(number, value) for number, value in means if np.isfinite(number)]
    return (min(known), max(known)) if len(known) > 1 else None


def _spread(report: ReportData, keys: Keys, values: list[Floats], axis: str) -> str:
    said = []
    for label, found in zip(report.labels, values, strict=True):
        ends = _ends(keys, found, axis)
        if ends:
            (low, worst), (high, best) = ends
            said.append(
                f"{label} from {formatting.points(low)} ({worst}) to {formatting.points(high)} ({best})"
            )
    return f"{formatting.join_words(said)}." if said else "Fewer than two slices have an AP."


def _finding(report: ReportData, keys: Keys, values: list[Floats]) -> str:
    """The way of slicing on which each model depends most."""
    most: dict[str, list[str]] = {}
    for label, found in zip(report.labels, values, strict=True):
        spread = {axis: ends[1][0] - ends[0][0] for axis in SHOWN if (ends := _ends(keys, found, axis))}
        if spread:
            most.setdefault(max(spread, key=spread.__getitem__), []).append(label)
    if not most:
        return "No way of slicing parts the objects."
    said = []
    for axis, labels in most.items():
        who = "all models" if len(labels) == len(report.labels) > 1 else formatting.join_words(labels)
        chosen = [found for label, found in zip(report.labels, values, strict=True) if label in labels]
        ends = _ends(keys, np.concatenate(chosen, axis=1), axis)
        assert ends is not None
        (low, worst), (high, best) = ends
        said.append(
            f"{SHOWN[axis]} matters most for {who} ({worst} {formatting.points(low)}, {best} {formatting.points(high)})"
        )
    return f"{'. '.join(said)}."


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
            Cell(SHOWN[axis]),
            Cell(formatting.count(counts[axis, value]), counts[axis, value]),
        ]
        cells += [
            Cell(formatting.points(float(found[at].mean())), float(found[at].mean())) for found in values
        ]
        made.append(TableRow(tuple(cells)))
    whole = [
        float(np.mean([next(row.value for row in table.whole if row.name == "ap_n") for table in tables]))
        for tables in slices
    ]
    asked = int(report.scored[0][0].outcome.valid.sum())
    made.append(
        TableRow(
            (
                Cell("all objects"),
                Cell("–"),
                Cell(formatting.count(asked), asked),
                *(Cell(formatting.points(value), value) for value in whole),
            )
        )
    )
    columns = (
        TableColumn("Slice"), TableColumn("By"), TableColumn("Objects", numeric=True),
        *(TableColumn(label, numeric=True) for label in report.labels),
    )  # fmt: skip
    return PageTable(
        "slices-table", "Normalised AP50 by slice, in points of 100", columns, tuple(made),
        column_series=(None, None, None, *range(len(report.models))),
    )  # fmt: skip
