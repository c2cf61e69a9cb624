"""Validation AP over the budget that was spent, and the sentences on budgets of the verdict and the section Budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metrics.plurals import agree
from reports.analysis.extremes import Extreme, highest
from reports.analysis.report_data import ReportData
from reports.analysis.training_budget import (
    curve_unit,
    limit_text,
    shared_limit,
    spent_curve,
    value_within,
)
from reports.elements import formatting
from reports.elements.page import Figure
from reports.figures.lines import Curve, LineAxes, lines

_AXES = {
    "images": "training images",
    "minutes": "minutes of training",
    "flops": "FLOPs of training",
}

CAUTION = (
    "A point before the end of a budget is not what a training with a smaller budget reaches: its learning rate would have fallen "
    "by then."
)


def budget_text(report: ReportData) -> str:
    """Name the budget that ended the training of all models; empty if there is none."""
    limit = shared_limit(report.models)
    if limit is None:
        return ""
    who = "Each model was" if len(report.models) > 1 else "It was"
    return f"{who} trained with a budget of {limit_text(limit)}."


def budget_figure(report: ReportData) -> Figure | None:
    """Draw AP on the validation images over what was spent; None without budgets or validation."""
    unit = curve_unit(report.models)
    if unit is None:
        return None
    curves = [[spent_curve(run, unit) for run in model.runs] for model in report.models]
    if not any(len(spent) for runs in curves for spent, _ in runs):
        return None
    drawn = [[(spent, 100 * ap) for spent, ap in runs] for runs in curves]
    return lines(
        "budget-ap",
        "AP on the validation images over the budget spent",
        curves_text(report, curves),
        report.labels,
        drawn,
        LineAxes(_AXES[unit], "AP (%)"),
    )


def curves_text(report: ReportData, curves: Sequence[Sequence[Curve]]) -> str:
    """Which model has the highest AP on the validation images at the end, and by half of a shared budget where all were measured."""
    limit = shared_limit(report.models)
    ends = highest(report.labels, _values(curves, math.inf))
    if math.isnan(ends.value):
        return "No run has a validation AP."
    text = f"At the end of training, {_best_text(report.labels, ends)}"
    halves = [] if limit is None else _values(curves, limit.amount / 2)
    if halves and not any(map(math.isnan, halves)):
        text += f"; by half of the budget, {_best_text(report.labels, highest(report.labels, halves))}"
    return f"{text}."


def _values(curves: Sequence[Sequence[Curve]], amount: float) -> list[float]:
    """Of each model the mean over its runs; NaN if a run was not measured by then."""
    return [float(np.mean([value_within(curve, amount) for curve in runs])) for runs in curves]


def _best_text(labels: Sequence[str], best: Extreme) -> str:
    ap = formatting.points(best.value)
    if len(labels) == 1:
        return f"AP on the validation images is {ap}"
    if best.shared_by_all:
        return f"all models have the same AP on the validation images ({ap})"
    names = formatting.join_words(list(best.holders))
    verb = agree(len(best.holders), "has", "share")
    return f"{names} {verb} the highest AP on the validation images ({ap})"
