"""What goes wrong: objects missed or taken for others, detections on nothing, boxes that are loose."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from metrics.measures.error_types import KINDS as KINDS_OF_ERROR
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

KINDS = (
    ("missed", "objects missed"),
    ("confused", "objects confused"),
    ("invented", "detections on nothing"),
    ("loose", "boxes loose"),
)

TYPES: tuple[str, ...] = KINDS_OF_ERROR
PLAIN = (
    "wrong classes",
    "loose boxes",
    "what is wrong in both",
    "duplicates",
    "finds on background",
    "misses",
)
"""The kinds of TIDE, and what a sentence calls them."""

MOST_PAIRS = 15
"""Confusions that are listed; the file beside the page has all."""

MOST_CLASSES = 12
"""With more classes than that a matrix cannot be read, and only the list is given."""


def section(report: ReportData) -> Section:
    """Shares of each kind of error at each model's own best score, the confusions, and optimal LRP."""
    values = [np.stack([_shares(run) for run in runs], axis=1) for runs in report.scored]
    figure = dot_plot(
        "errors", "Kinds of error, each model at its own best F1", _finding(report, values),
        [label for _, label in KINDS], report.labels, values, "points of 100; lower is better",
    )  # fmt: skip
    costs = _costs(report)
    tables = [_table(report, values), _cost_table(report)]
    if len(report.classes) > 1:
        tables += [_pairs(report)]
    if 1 < len(report.classes) <= MOST_CLASSES:
        tables += [_matrix(report, number) for number in range(len(report.models))]
    return Section(
        "errors",
        "Errors",
        _finding(report, values),
        figures=(
            replace(figure, caption=report.dots_said),
            replace(costs, caption=f"{costs.finding} {report.marks_said}".strip()),
        ),
        tables=tables,
        method=(
            "At the score where the model's F1 is highest, each object and each detection is paired at most once, at "
            "IoU of at least 0.5: first with its own class as everywhere on this page, then what is left over across "
            "classes. An object in no pair is missed; one paired with a detection of another class is confused; a "
            "detection in no pair lies on nothing, or too loosely on an object, or on one that was found already. "
            "Looseness is the mean of 1 - IoU over right detections.",
            "The cost of a kind is how much AP at IoU 0.50 would rise if its errors were mended and nothing else changed, "
            "over all scores (TIDE, Bolya et al. 2020): localization has the right class and an IoU of 0.1 to 0.5; "
            "classification the right place and another class; both has neither; a duplicate is on an object that was "
            "found already; background is on nothing; missed objects are those that no other kind would find. Costs do "
            "not add up to what AP lacks, because errors stand in each other's way, and may be below 0.",
            "oLRP (Oksuz et al., TPAMI 2022) is one error from 0 to 1, lower is better: at each class's own best score "
            "it adds up false detections, missed objects, and how loosely the right boxes lie; mean over classes.",
        ),
        links=(Link("confusion.csv", "all confusions, by run"), Link("metrics.csv", "AP by class")),
    )


def _costs(report: ReportData) -> Figure:
    """What AP50 would gain by mending each kind."""
    values = [
        np.stack([[run.error_types[f"cost_{kind}"] for run in runs] for kind in TYPES])
        for runs in report.scored
    ]
    said = []
    for label, seeds in zip(report.labels, values, strict=True):
        means = seeds.mean(1)
        if np.isfinite(means).all():
            worst = int(np.argmax(means))
            said.append(
                f"{label} by mending {PLAIN[worst]} ({formatting.signed_points(float(means[worst]))})"
            )
    finding = (
        f"AP50 would rise most for {formatting.join_words(said)}."
        if said
        else "There is no object, so there is no cost."
    )
    return dot_plot(
        "error-costs", "What each kind of error costs in AP50", finding, TYPES, report.labels, values,
        "AP50 (points of 100) that mending would bring", intervals=report.intervals([f"cost_{kind}" for kind in TYPES]), zero=True,
        pale=[np.full(len(TYPES), report.too_few)] * len(report.models),
    )  # fmt: skip


def _cost_table(report: ReportData) -> PageTable:
    rows, sure = [], report.intervals([f"cost_{kind}" for kind in TYPES])
    for number, runs in enumerate(report.scored):
        cells = [Cell(report.labels[number])]
        for at, kind in enumerate(TYPES):
            cost = float(np.mean([run.error_types[f"cost_{kind}"] for run in runs]))
            count = float(np.mean([run.error_types[f"errors_{kind}"] for run in runs]))
            spread = formatting.points_interval(*sure[number][at]) if sure else ""
            note = f"{spread} {formatting.count(count)} ×".strip() if np.isfinite(count) else spread
            cells.append(Cell(formatting.signed_points(cost), cost, note=note))
        rows.append(TableRow(tuple(cells), series=number))
    columns = (
        TableColumn("Model"),
        *(TableColumn(kind[0].upper() + kind[1:], numeric=True) for kind in TYPES),
    )
    return PageTable(
        "costs-table", f"Points of AP50 that mending each kind would bring; below it {'its 95% interval and ' * bool(sure)}"
        "how often (×) such an error is made at any score", columns, tuple(rows),
    )  # fmt: skip


def confusion_rows(report: ReportData) -> pd.DataFrame:
    """Every cell of every run's matrix that is not 0."""
    frames = []
    for scored in report.runs:
        frame = scored.confusion.to_frame()
        frame.insert(0, "run_id", scored.run.result.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _shares(run: EvaluatedRun) -> Floats:
    """Missed and confused of all objects, invented of all detections, and the looseness of right boxes."""
    matrix = run.confusion
    background = len(matrix.classes)
    objects, detections = int(matrix.objects[:-1].sum()), int(matrix.detections[:-1].sum())
    missed = int(matrix.count[matrix.predicted == background].sum())
    invented = int(matrix.count[matrix.true == background].sum())
    confused = objects - missed - int(matrix.correct.sum())
    right = run.kept & run.outcome.tp
    loose = float((1 - run.outcome.iou[right]).mean()) if right.any() else np.nan
    return np.array(
        [
            missed / objects if objects else np.nan,
            confused / objects if objects else np.nan,
            invented / detections if detections else np.nan,
            loose,
        ]
    )


def _finding(report: ReportData, values: Sequence[Floats]) -> str:
    if np.isnan(values[0][0]).all():
        return "There is no object to be found, so nothing can be missed or confused."
    said = []
    for label, seeds in zip(report.labels, values, strict=True):
        missed, confused, invented, _ = _means(seeds)
        text = f"{label} misses {_percent(missed)} of the objects"
        text += f" and confuses {_percent(confused)}" if len(report.classes) > 1 else ""
        said.append(
            text + (f"; {_percent(invented)} of what it finds is nothing" if np.isfinite(invented) else "")
        )
    return ". ".join(said) + "."


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _means(seeds: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(seeds, axis=1), np.float64)


def _table(report: ReportData, values: Sequence[Floats]) -> PageTable:
    rows = []
    for number, (runs, seeds) in enumerate(zip(report.scored, values, strict=True)):
        cells = [Cell(report.labels[number])]
        cells += [Cell(formatting.points(value), float(value)) for value in _means(seeds)]
        error = _means(np.array([[_mean_error(run) for run in runs]]))[0]
        of = report.standings("olrp")[number] if report.statistics is not None else None
        note = formatting.fraction_interval(of.ci_low, of.ci_high) if of else ""
        cells.append(Cell("–" if np.isnan(error) else f"{error:.3f}", float(error), note=note))
        rows.append(TableRow(tuple(cells), series=number))
    columns = (
        TableColumn("Model"),
        *(TableColumn(label[0].upper() + label[1:], numeric=True) for _, label in KINDS),
        TableColumn("oLRP", numeric=True),
    )
    return PageTable("errors-table", "Kinds of error in points of 100; lower is better", columns, tuple(rows))


def _mean_error(run: EvaluatedRun) -> float:
    known = run.lrp.error[~np.isnan(run.lrp.error)]
    return float(known.mean()) if len(known) else np.nan


def _pairs(report: ReportData) -> PageTable:
    """The most frequent confusions of class with class, with every model's count."""
    classes, many = report.classes, len(report.classes)
    counts: dict[tuple[int, int], list[float]] = {}
    for number, runs in enumerate(report.scored):
        for run in runs:
            its = run.confusion
            for true, predicted, count in zip(its.true, its.predicted, its.count, strict=True):
                if true != predicted and true < many and predicted < many:
                    row = counts.setdefault((int(true), int(predicted)), [0.0] * len(report.models))
                    row[number] += count / len(runs)
    order = sorted(counts, key=lambda pair: (-sum(counts[pair]), pair))[:MOST_PAIRS]
    rows = []
    for true, predicted in order:
        cells = [Cell(classes[true]), Cell(classes[predicted])]
        cells += [Cell(_count(number), number) for number in counts[true, predicted]]
        rows.append(TableRow(tuple(cells)))
    left = len(counts) - len(order)
    more = f"; {left} rarer ones are in confusion.csv" if left else ""
    none = "; there is none" if not counts else ""
    columns = (
        TableColumn("Object"), TableColumn("taken for"), *(TableColumn(label, numeric=True) for label in report.labels),
    )  # fmt: skip
    return PageTable(
        "confusions-table", f"Most frequent confusions of one class with another, counts{more}{none}", columns,
        tuple(rows), column_series=(None, None, *range(len(report.models))),
    )  # fmt: skip


def _matrix(report: ReportData, number: int) -> PageTable:
    """A model's first run: rows what is there, columns what is said."""
    matrix = report.scored[number][0].confusion
    names = (*report.classes, "nothing")
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
    columns = (TableColumn("There is"), *(TableColumn(name, numeric=True) for name in names))
    label = report.labels[number]
    first = ", first run" if report.seeds > 1 else ""
    return PageTable(
        f"confusion-{number}", f"Confusion matrix of {label}{first}: rows what is there, columns what is said", columns,
        tuple(rows), folded=True, series=number,
    )  # fmt: skip


def _count(number: float) -> str:
    return formatting.count(number) if float(number).is_integer() else f"{number:.1f}"
