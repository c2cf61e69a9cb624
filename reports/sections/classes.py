"""Classes and sizes: for which classes and object sizes the models differ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.plurals import agree
from reports.analysis.extremes import Extreme, highest, lowest
from reports.analysis.report_data import Floats, ReportData, mean
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot
from reports.sections.class_sentences import ClassDifference, difference_text, extremes_text, largest_decisive

MAX_ROWS = 24
"""Number of classes in the figure; the table has all."""

FEW_OBJECTS = 20
"""Number of objects of a class below which its AP is unreliable."""


def section(report: ReportData) -> Section:
    """AP by class and by size."""
    truth = report.truth
    positives = report.evaluated[0][0].outcome.positives
    values = [np.stack([run.class_ap for run in runs], axis=1) for runs in report.evaluated]
    present = np.flatnonzero(positives > 0)
    absent = [report.classes[at] for at in np.flatnonzero(positives == 0)]
    few = [report.classes[at] for at in present if positives[at] < FEW_OBJECTS]
    warnings = []
    if absent:
        classes = formatting.plural(len(absent), "class has", "classes have")
        warnings.append(
            f"{classes} no valid objects on these images and {agree(len(absent), 'is', 'are')} left out of all means and of this "
            f"section, not counted as 0: {formatting.join_words(absent)}."
        )
    if few:
        warnings.append(
            f"Classes with fewer than {FEW_OBJECTS} objects have an unreliable AP: {formatting.join_words(few)}."
        )
    figures = [_class_figure(report, values, present)] if len(present) else []
    sizes = _size_figure(report)
    return Section(
        "classes",
        "Classes and sizes",
        finding_text(class_facts(report), len(report.models)),
        figures=[*figures, *([sizes] if sizes else [])],
        tables=(_table(report, values, positives, np.bincount(truth.label, minlength=len(positives))),),
        warnings=warnings,
        method=(
            "The AP of a class is computed as in the leaderboard, from that class alone. A class with objects but without "
            "detections has AP 0; a class without valid objects has no AP."
            + " The spread of a row is its highest value minus its lowest."
            * (len(report.models) > 1),
            *_intervals_method(report),
        ),
        links=(Link("metrics.csv", "values by class, IoU threshold and size"),),
    )


def _intervals_method(report: ReportData) -> tuple[str, ...]:
    if report.statistics is None:
        return ()
    method = report.statistics.method
    return (
        f"Small numbers are {method.confidence:.0%} confidence intervals from {formatting.plural(method.resamples, 'bootstrap replicate')}."
        + " A difference on a class is decisive if its interval excludes 0 and its p-value is significant after the "
        "Benjamini-Hochberg correction for the number of classes. "
        f"Classes with fewer than {FEW_OBJECTS} objects are not tested." * (len(report.models) > 1),
    )


def _class_figure(report: ReportData, values: list[Floats], present: np.ndarray) -> Figure:
    drawn, title = present, "AP by class"
    if len(present) > MAX_ROWS:
        spread = np.ptp(np.stack([rows.mean(1) for rows in values]), axis=0)
        drawn = np.sort(present[np.argsort(-spread[present], kind="stable")[:MAX_ROWS]])
        title = f"AP by class: the {MAX_ROWS} of {formatting.plural(len(present), 'class')} that differ most"
    drawing = dot_plot(
        "classes-ap", title, finding_text(class_facts(report), len(report.models)), [report.classes[at] for at in drawn],
        report.labels, [rows[drawn] for rows in values], "AP (%)", intervals=_intervals(report, drawn),
        pale=_pale(report, drawn),
    )  # fmt: skip
    return replace(drawing, caption=report.markers_caption)


def _size_figure(report: ReportData) -> Figure | None:
    names = ("small", "medium", "large")
    values = [np.stack(rows) for rows in zip(*(report.headline(f"ap_{name}") for name in names), strict=True)]
    known = [at for at in range(3) if np.isfinite(np.stack([rows[at].mean() for rows in values])).any()]
    if len(known) < 2:
        return None
    parts = []
    for at in known:
        means = [float(rows[at].mean()) for rows in values]
        low, high = formatting.points(min(means)), formatting.points(max(means))
        parts.append(f"{low if low == high else f'{low} to {high}'} on {names[at]}")
    finding = f"AP is {formatting.join_words(parts)} objects."
    drawing = dot_plot(
        "sizes-ap", "AP by object size", finding, [names[at] for at in known], report.labels,
        [rows[known] for rows in values], "AP (%)",
        intervals=report.intervals([f"ap_{names[at]}" for at in known]),
        pale=[np.full(len(known), report.too_few)] * len(values),
    )  # fmt: skip
    return replace(drawing, caption=f"{finding} {report.markers_caption}".strip())


def _intervals(report: ReportData, drawn: np.ndarray) -> list[Floats] | None:
    """(R, 2) intervals of the drawn classes for each model; None without statistics."""
    if report.statistics is None:
        return None
    ends = {(row.model, row.class_name): (row.ci_low, row.ci_high) for row in report.statistics.class_values}
    names = report.truth.catalog.classes
    return [np.array([ends[model.label, names[at]] for at in drawn]) for model in report.models]


def _pale(report: ReportData, drawn: np.ndarray) -> list[NDArray[np.bool_]] | None:
    """(R,) whether each drawn class has too few objects, for each model; None without statistics."""
    if report.statistics is None:
        return None
    few = {(row.model, row.class_name): row.too_few for row in report.statistics.class_values}
    names = report.truth.catalog.classes
    return [np.array([few[model.label, names[at]] for at in drawn], np.bool_) for model in report.models]


def _decisive_pairs(report: ReportData) -> dict[str, str]:
    """For each class the decisive differences; classes without one are left out."""
    if report.statistics is None:
        return {}
    labels = dict(zip((model.label for model in report.models), report.labels, strict=True))
    pairs: dict[str, list[str]] = {}
    for row in report.statistics.class_pairs:
        if row.decisive:
            better, worse = (row.model_a, row.model_b) if row.delta > 0 else (row.model_b, row.model_a)
            pairs.setdefault(row.scope, []).append(f"{labels[better]} > {labels[worse]}")
    return {name: formatting.join_words(texts, 3) for name, texts in pairs.items()}


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What is said of the classes; classes with fewer than `FEW_OBJECTS` objects take no part.

    Attributes:
        present: number of classes with valid objects.
        compared: number of those with at least `FEW_OBJECTS`.
        lowest, highest: AP of these classes, mean over all models.
        measured: whether there are statistics.
        largest: the largest decisive difference between two models on a class; None if there is none.
    """

    present: int
    compared: int
    lowest: Extreme
    highest: Extreme
    measured: bool
    largest: ClassDifference | None


def class_facts(report: ReportData) -> ClassFacts:
    """Collect the facts on classes."""
    positives = report.evaluated[0][0].outcome.positives
    kept = np.flatnonzero(positives >= FEW_OBJECTS)
    means = np.mean([np.mean([run.class_ap for run in runs], axis=0) for runs in report.evaluated], axis=0)
    names, values = [report.classes[at] for at in kept], means[kept].tolist()
    largest = None if report.statistics is None else largest_decisive(report.statistics.class_pairs)
    return ClassFacts(
        int((positives > 0).sum()),
        len(kept),
        lowest(names, values),
        highest(names, values),
        report.statistics is not None,
        largest,
    )


def finding_text(facts: ClassFacts, models: int) -> str:
    """Describe the classes with the lowest and the highest AP, and the largest decisive difference between models."""
    if not facts.present:
        return "No class has valid objects."
    parts = []
    if facts.present == 1:
        parts.append("The data set has one class with valid objects.")
    elif facts.compared < 2:
        parts.append(
            f"Fewer than two classes have at least {FEW_OBJECTS} objects, so classes are not compared."
        )
    elif facts.lowest.shared_by_all:
        parts.append(f"All classes with at least {FEW_OBJECTS} objects have the same AP.")
    else:
        which = f"with at least {FEW_OBJECTS} objects"
        parts.append(extremes_text(which, "AP", models, facts.lowest, facts.highest))
    if models > 1 and facts.measured and facts.present > 1:
        parts.append(difference_text(facts.largest))
    return " ".join(parts)


def _table(report: ReportData, values: list[Floats], positives: np.ndarray, objects: np.ndarray) -> PageTable:
    several = len(report.models) > 1
    columns = [TableColumn("Class"), TableColumn("Objects", numeric=True)]
    columns += [TableColumn(label, numeric=True) for label in report.labels]
    columns += [TableColumn("Spread", numeric=True)] if several else []
    statistics = report.statistics
    decisive = _decisive_pairs(report)
    if several and statistics is not None:
        columns.append(TableColumn("Decisive differences"))
    notes = {
        (row.model, row.class_name): formatting.points_interval(row.ci_low, row.ci_high)
        for row in (statistics.class_values if statistics else ())
    }
    few = {row.class_name for row in (statistics.class_values if statistics else ()) if row.too_few}
    most = int(positives.max(initial=1)) or 1
    rows = []
    for at in np.flatnonzero(positives > 0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            means = [mean(seeds[at]) for seeds in values]
            best = np.nanmax(means) if np.isfinite(means).any() else np.nan
            spread = float(best - np.nanmin(means)) if np.isfinite(best) else np.nan
        ignored = int(objects[at] - positives[at])
        cells = [Cell(report.classes[at])]
        cells.append(
            Cell(
                formatting.count(int(positives[at])), int(positives[at]), note=f"{ignored} ignored" if ignored else "",
                bar=positives[at] / most,
            )
        )  # fmt: skip
        name = report.truth.catalog.classes[at]
        for model, value in zip(report.models, means, strict=True):
            note = notes.get((model.label, name), "")
            cells.append(Cell(formatting.points(value), value, strong=several and value == best, note=note))
        cells += [Cell(formatting.points(spread), spread)] if several else []
        if several and statistics is not None:
            cells.append(Cell("too few objects" if name in few else decisive.get(name, "none")))
        rows.append(TableRow(tuple(cells)))
    after = len(columns) - 2 - len(report.models)
    series = (None, None, *range(len(report.models)), *((None,) * after))
    strong = " Bold: highest value of the row, significant or not." if several else ""
    return PageTable(
        "classes-table", f"AP by class, in percent.{strong}", tuple(columns), tuple(rows), column_series=series,
        searchable=len(rows) > 10,
    )  # fmt: skip
