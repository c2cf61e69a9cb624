"""Errors: false positives by type and undetected objects; the cost of each type of error, confusions and oLRP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from metrics.measures.error_types import FALSE_POSITIVES, KINDS
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.report_data import Floats, ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot
from reports.sections import confusions
from reports.sections.confusions import summed

ERROR_NAMES = {
    "classification": ("classification error", "classification errors"),
    "localization": ("localization error", "localization errors"),
    "both": ("error in both class and localization", "errors in both class and localization"),
    "duplicate": ("duplicate", "duplicates"),
    "background": ("detection on background", "detections on background"),
    "missed": ("missed object", "missed objects"),
}
"""TIDE's error types, singular and plural."""


def section(report: ReportData) -> Section:
    """Errors at each model's highest F1, TIDE costs, confusions and optimal LRP."""
    costs = _costs(report)
    finding = _finding(report)
    figure = dot_plot(
        "errors", "Errors at each model's highest F1", finding,
        ["Undetected objects", *(kind.capitalize() for kind in FALSE_POSITIVES)], report.labels,
        [np.stack([_rates(run) for run in runs], axis=1) for runs in report.evaluated],
        "errors per 100 objects; lower is better",
    )  # fmt: skip
    return Section(
        "errors",
        "Errors",
        finding,
        figures=(
            replace(figure, caption=report.seeds_caption),
            replace(costs, caption=f"{costs.finding} {report.markers_caption}".strip()),
        ),
        tables=[_table(report), _cost_table(report), *confusions.tables(report)],
        method=(
            "Each false positive has one type (TIDE, Bolya et al. 2020), the first that applies. Localization: IoU of 0.1 to 0.5 with an "
            "object of its class. Classification: IoU of at least 0.5 with an object of another class. Duplicate: IoU of at least 0.5 "
            "with an object of its class that has a true positive. Background: IoU below 0.1 with all objects of all classes. "
            "Both (class and localization are wrong): all others. With a crowd, IoU is the part of the detection that the crowd "
            "covers. Ignored objects and crowds count only for detections that overlap no other object by 0.1.",
            "The sentence, the first figure, the first table and the confusions are based on the detections that reach the score threshold "
            "of a model's highest F1. An object without a true positive is undetected, also where a detection of another class or "
            "a poorly localized one lies on it.",
            "The cost of an error type is the increase in AP at IoU 0.50 if its errors were corrected and nothing else changed, "
            "over all scores. Missed: objects without a true positive that no classification or localization error lies on; they are left out of the "
            "ground truth, and a class without any other object keeps AP 0. Costs interact, so they do not add up to the AP50 that is "
            "missing.",
            confusions.METHOD,
            "oLRP (Oksuz et al., TPAMI 2022) combines false positives, false negatives and localization error at each class's "
            "optimal score threshold into an error from 0 to 1, averaged over classes; lower is better.",
        ),
        links=(
            Link("confusion.csv", "confusion matrices with types of error, by run"),
            Link("images.csv", "errors by type of every image, by run"),
            Link("metrics.csv", "AP by class"),
        ),
    )


def _rates(run: EvaluatedRun) -> Floats:
    """(6,) undetected objects and false positives by type, for each object; NaN without valid objects."""
    objects = run.outcome.valid.sum()
    counts = np.array([run.best_point.fn, *run.fp_by_type], np.float64)
    return counts / objects if objects else np.full(len(counts), np.nan)


class _Totals(NamedTuple):
    """Counts at the highest F1, summed over the runs of a model; the types add up to the false positives."""

    tp: int
    fp: int
    fn: int
    by_type: list[int]


def _totals(runs: Sequence[EvaluatedRun]) -> _Totals:
    tp, fp, fn = (sum(getattr(run.best_point, name) for run in runs) for name in ("tp", "fp", "fn"))
    return _Totals(tp, fp, fn, np.sum([run.fp_by_type for run in runs], axis=0).tolist())


def _finding(report: ReportData) -> str:
    if not report.evaluated[0][0].outcome.valid.any():
        return "There are no valid objects, so error rates are not defined."
    parts = [_counts_text(label, runs) for label, runs in zip(report.labels, report.evaluated, strict=True)]
    return " ".join(parts)


def _counts_text(label: str, runs: Sequence[EvaluatedRun]) -> str:
    """The errors of a model, summed over its runs, in one sentence; its counts add up."""
    tp, fp, fn, by_type = _totals(runs)
    subject = f"{label}, summed over {formatting.plural(len(runs), 'run')}," if len(runs) > 1 else label
    of = f"{formatting.count(fn)} of {formatting.plural(tp + fn, 'object')}"
    if not tp:
        return f"{subject} has no true positive at any score, so none of its detections is counted and {of} are undetected."
    text = f"{subject} leaves {of} undetected ({_percent(fn, tp + fn)}) and has "
    falling = sorted(zip(by_type, FALSE_POSITIVES, strict=True), key=lambda typed: -typed[0])
    kinds = [formatting.plural(count, *ERROR_NAMES[kind]) for count, kind in falling if count]
    if not kinds:
        return f"{text}no false positives."
    return f"{text}{formatting.plural(fp, 'false positive')}: {formatting.join_words(kinds)}."


def _percent(part: int, whole: int) -> str:
    """A share without decimals; 0% and 100% only where they are exact."""
    text = f"{part / whole:.0%}"
    if text == "0%" and part:
        return "<1%"
    return ">99%" if text == "100%" and part < whole else text


def _table(report: ReportData) -> PageTable:
    rows = []
    for number, runs in enumerate(report.evaluated):
        tp, fp, fn, by_type = _totals(runs)
        cells = [Cell(report.labels[number]), _count(tp), _count(fn, tp + fn), _count(fp)]
        cells += [_count(count, fp) for count in by_type]
        right = np.concatenate([run.outcome.iou[run.kept & run.outcome.tp] for run in runs])
        error = float((1 - right).mean()) if len(right) else np.nan
        cells.append(Cell(formatting.points(error), error))
        olrp = float(np.mean([_mean_error(run) for run in runs]))
        standing = report.standings("olrp")[number] if report.statistics is not None else None
        note = formatting.fraction_interval(standing.ci_low, standing.ci_high) if standing else ""
        cells.append(Cell(formatting.fixed(olrp), olrp, note=note))
        rows.append(TableRow(tuple(cells), series=number))
    titles = ("TP", "FN", "FP", *(kind.capitalize() for kind in FALSE_POSITIVES), "1 − IoU of TP", "oLRP")
    columns = (TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable(
        "errors-table",
        f"True positives, undetected objects (FN) and false positives by type at each model's highest F1{summed(report)}; below, "
        "share of the objects and of the false positives; mean 1 − IoU of true positives in percent; oLRP over all scores",
        columns, tuple(rows),
    )  # fmt: skip


def _count(number: int, of: int = 0) -> Cell:
    """A count, with its share of another below."""
    return Cell(formatting.count(number), number, note=_percent(number, of) if of else "")


def _mean_error(run: EvaluatedRun) -> float:
    known = run.lrp.error[~np.isnan(run.lrp.error)]
    return float(known.mean()) if len(known) else np.nan


def _costs(report: ReportData) -> Figure:
    """The AP50 that correcting each error type would gain."""
    values = [
        np.stack([[run.error_types[f"cost_{kind}"] for run in runs] for kind in KINDS])
        for runs in report.evaluated
    ]
    return dot_plot(
        "error-costs", "Cost of each error type in AP50", _costs_text(report, values), [kind.capitalize() for kind in KINDS],
        report.labels, values, "gain in AP50 if corrected (percentage points)",
        intervals=report.intervals([f"cost_{kind}" for kind in KINDS]), zero=True,
        pale=[np.full(len(KINDS), report.too_few)] * len(report.models),
    )  # fmt: skip


def _costs_text(report: ReportData, values: list[Floats]) -> str:
    """The type with the highest cost of each model; all of several that are equal to the digits that are shown."""
    parts, none = [], []
    for label, seeds in zip(report.labels, values, strict=True):
        gains = [round(100 * float(mean), 1) for mean in seeds.mean(1)]
        if not np.isfinite(gains).all():
            continue
        highest = max(gains)
        if highest <= 0:
            none.append(label)
            continue
        names = [ERROR_NAMES[kind][1] for kind, gain in zip(KINDS, gains, strict=True) if gain == highest]
        each = " each" if len(names) > 1 else ""
        amount = f"{formatting.signed_points(highest / 100)}{each}"
        parts.append(f"{' or '.join(names)} for {label} ({amount})")
    text = []
    if parts:
        text.append(
            f"On these images, AP50 would increase most (in percentage points) by correcting {formatting.join_words(parts)}."
        )
    if none:
        text.append(
            f"For {formatting.join_words(none)}, correcting the errors of any one type would increase AP50 by less than 0.1 percentage points."
        )
    return " ".join(text) or "There are no valid objects, so error costs are not defined."


def _cost_table(report: ReportData) -> PageTable:
    rows, intervals = [], report.intervals([f"cost_{kind}" for kind in KINDS])
    for number, runs in enumerate(report.evaluated):
        cells = [Cell(report.labels[number])]
        for at, kind in enumerate(KINDS):
            cost = float(np.mean([run.error_types[f"cost_{kind}"] for run in runs]))
            count = sum(int(run.error_types[f"errors_{kind}"]) for run in runs)
            interval = formatting.points_interval(*intervals[number][at]) if intervals else ""
            note = " ".join(filter(None, (interval, formatting.plural(count, "error"))))
            cells.append(Cell(formatting.signed_points(cost), cost, note=note))
        rows.append(TableRow(tuple(cells), series=number))
    columns = (
        TableColumn("Model"),
        *(TableColumn(kind.capitalize(), numeric=True) for kind in KINDS),
    )
    return PageTable(
        "costs-table",
        "Gain in AP50 (percentage points) if the errors of each type were corrected; below, "
        f"{'its 95% interval and ' * bool(intervals)}the number of errors at all scores, not only above the threshold{summed(report)}",
        columns, tuple(rows),
    )  # fmt: skip
