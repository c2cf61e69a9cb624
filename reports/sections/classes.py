"""In which classes, and at which sizes of object, the models differ."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reports.analysis.report_data import Floats, ReportData, mean
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

DRAWN = 24
"""More rows than that nobody reads in a figure; the table has all."""

FEW = 20
"""Objects of a class below which its AP says little."""


def section(report: ReportData) -> Section:
    """AP by class and by size."""
    truth = report.truth
    asked = report.scored[0][0].outcome.positives
    values = [np.stack([run.class_ap for run in runs], axis=1) for runs in report.scored]
    present = np.flatnonzero(asked > 0)
    absent = [report.classes[at] for at in np.flatnonzero(asked == 0)]
    few = [report.classes[at] for at in present if asked[at] < FEW]
    warned = []
    if absent:
        said = f"{formatting.plural(len(absent), 'class', 'classes')} without an object here: {formatting.join_words(absent)}."
        warned.append(f"{said} They are left out of every mean and of this section, and not counted as 0.")
    if few:
        warned.append(f"Fewer than {FEW} objects, too few to say much: {formatting.join_words(few)}.")
    figures = [_class_figure(report, values, present)] if len(present) else []
    sizes = _size_figure(report)
    return Section(
        "classes",
        "Classes and sizes",
        _finding(report, values, present),
        figures=[*figures, *([sizes] if sizes else [])],
        tables=(_table(report, values, asked, np.bincount(truth.label, minlength=len(asked))),),
        warnings=warned,
        method=(
            "AP of a class is read as in the leaderboard, from that class alone. A class that has objects and no "
            "detection has AP 0; one without an object has none. The spread of a row is the highest less the lowest.",
            *_how_sure(report),
        ),
        links=(Link("metrics.csv", "every class, IoU threshold and size"),),
    )


def _how_sure(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Small numbers are {method.confidence:.0%} intervals from {method.resamples:,} resamples of the {method.unit}s. "
        "A difference on a class is more than chance if its interval and its p-value, after Benjamini and Hochberg's "
        f"correction for the number of classes, say so; classes with fewer than {FEW} objects are left out of that.",
    )


def _class_figure(report: ReportData, values: list[Floats], present: np.ndarray) -> Figure:
    drawn, title = present, "AP by class"
    if len(present) > DRAWN:
        spread = np.ptp(np.stack([rows.mean(1) for rows in values]), axis=0)
        drawn = np.sort(present[np.argsort(-spread[present], kind="stable")[:DRAWN]])
        title = f"AP by class: the {DRAWN} of {len(present)} that differ most"
    drawing = dot_plot(
        "classes-ap", title, _finding(report, values, present), [report.classes[at] for at in drawn],
        report.labels, [rows[drawn] for rows in values], "AP (points of 100)", intervals=_intervals(report, drawn),
        pale=_pale(report, drawn),
    )  # fmt: skip
    return replace(drawing, caption=report.marks_said)


def _size_figure(report: ReportData) -> Figure | None:
    names = ("small", "medium", "large")
    values = [np.stack(rows) for rows in zip(*(report.headline(f"ap_{name}") for name in names), strict=True)]
    known = [at for at in range(3) if np.isfinite(np.stack([rows[at].mean() for rows in values])).any()]
    if len(known) < 2:
        return None
    parts = []
    for at in known:
        means = [float(rows[at].mean()) for rows in values]
        parts.append(f"{formatting.points(min(means))} to {formatting.points(max(means))} on {names[at]}")
    spread = f"AP is {formatting.join_words(parts)} objects."
    if len(report.models) == 1:
        means = [float(values[0][at].mean()) for at in known]
        said = [f"{formatting.points(value)} on {names[at]}" for value, at in zip(means, known, strict=True)]
        spread = f"AP is {formatting.join_words(said)} objects."
    drawing = dot_plot(
        "sizes-ap", "AP by size of object", spread, [names[at] for at in known], report.labels,
        [rows[known] for rows in values], "AP (points of 100)",
        intervals=report.intervals([f"ap_{names[at]}" for at in known]),
        pale=[np.full(len(known), report.too_few)] * len(values),
    )  # fmt: skip
    return replace(drawing, caption=f"{spread} {report.marks_said}".strip())


def _intervals(report: ReportData, drawn: np.ndarray) -> list[Floats] | None:
    """For each model (R, 2), the interval of each class that is drawn; None where none was measured."""
    if report.statistics is None:
        return None
    ends = {(row.model, row.class_name): (row.ci_low, row.ci_high) for row in report.statistics.class_values}
    names = report.truth.catalog.classes
    return [np.array([ends[model.label, names[at]] for at in drawn]) for model in report.models]


def _pale(report: ReportData, drawn: np.ndarray) -> list[NDArray[np.bool_]] | None:
    """For each model (R,), whether a class that is drawn has too few objects to say anything."""
    if report.statistics is None:
        return None
    few = {(row.model, row.class_name): row.too_few for row in report.statistics.class_values}
    names = report.truth.catalog.classes
    return [np.array([few[model.label, names[at]] for at in drawn], np.bool_) for model in report.models]


def _decided(report: ReportData) -> dict[str, str]:
    """For each class which model is better than which, beyond chance; classes where none is are left out."""
    if report.statistics is None:
        return {}
    labels = dict(zip((model.label for model in report.models), report.labels, strict=True))
    said: dict[str, list[str]] = {}
    for row in report.statistics.class_pairs:
        if row.decisive:
            better, worse = (row.model_a, row.model_b) if row.delta > 0 else (row.model_b, row.model_a)
            said.setdefault(row.scope, []).append(f"{labels[better]} > {labels[worse]}")
    return {name: formatting.join_words(pairs, 3) for name, pairs in said.items()}


def _finding(report: ReportData, values: list[Floats], present: np.ndarray) -> str:
    if not len(present):
        return "No class has an object to be found."
    means = np.stack([rows.mean(1) for rows in values])
    overall = means.mean(0)
    hard, easy = present[int(np.argmin(overall[present]))], present[int(np.argmax(overall[present]))]
    if len(present) == 1:
        return f"There is one class, {report.classes[hard]}."
    said = (
        f"{report.classes[hard]} is the hardest class (mean AP {formatting.points(overall[hard])}), "
        f"{report.classes[easy]} the easiest ({formatting.points(overall[easy])})"
    )
    if len(means) == 1:
        return f"{said}."
    spread = np.ptp(means[:, present], axis=0)
    most = present[int(np.argmax(spread))]
    return f"{said}; the models differ most on {report.classes[most]}, by {formatting.points(spread.max())} points."


def _table(report: ReportData, values: list[Floats], asked: np.ndarray, objects: np.ndarray) -> PageTable:
    many = len(report.models) > 1
    columns = [TableColumn("Class"), TableColumn("Objects", numeric=True)]
    columns += [TableColumn(label, numeric=True) for label in report.labels]
    columns += [TableColumn("Spread", numeric=True)] if many else []
    sure = report.statistics
    decided = _decided(report)
    if many and sure is not None:
        columns.append(TableColumn("More than chance"))
    notes = {
        (row.model, row.class_name): formatting.points_interval(row.ci_low, row.ci_high)
        for row in (sure.class_values if sure else ())
    }
    few = {row.class_name for row in (sure.class_values if sure else ()) if row.too_few}
    most = int(asked.max(initial=1)) or 1
    rows = []
    for at in np.flatnonzero(asked > 0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            means = [mean(seeds[at]) for seeds in values]
            best = np.nanmax(means) if np.isfinite(means).any() else np.nan
            spread = float(best - np.nanmin(means)) if np.isfinite(best) else np.nan
        ignored = int(objects[at] - asked[at])
        cells = [Cell(report.classes[at])]
        cells.append(
            Cell(
                formatting.count(int(asked[at])), int(asked[at]), note=f"{ignored} ignored" if ignored else "",
                bar=asked[at] / most,
            )
        )  # fmt: skip
        name = report.truth.catalog.classes[at]
        for model, value in zip(report.models, means, strict=True):
            note = notes.get((model.label, name), "")
            cells.append(Cell(formatting.points(value), value, strong=many and value == best, note=note))
        cells += [Cell(formatting.points(spread), spread)] if many else []
        if many and sure is not None:
            cells.append(Cell("too few to say" if name in few else decided.get(name, "tied")))
        rows.append(TableRow(tuple(cells)))
    after = len(columns) - 2 - len(report.models)
    series = (None, None, *range(len(report.models)), *((None,) * after))
    strong = " Bold: the highest of its row, however small its lead." if many else ""
    return PageTable(
        "classes-table", f"AP by class, in points of 100.{strong}", tuple(columns), tuple(rows), column_series=series,
        searchable=len(rows) > 10,
    )  # fmt: skip
