"""Budgets that ended training: the one that all models share, its text, and validation AP over what was spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics.plurals import agree
from reports.analysis.models import Model
from reports.elements import formatting
from reports.records.run import Budget, BudgetLimit, RunFolder

Floats = NDArray[np.float64]

SPENT: dict[str, Callable[[Budget], float | None]] = {
    "minutes": lambda budget: None if budget.step_seconds is None else budget.step_seconds / 60,
    "images": lambda budget: budget.images_seen,
    "flops": lambda budget: budget.train_flops,
}
"""What a training spent, by the unit of its limit."""


def shared_limit(models: Sequence[Model]) -> BudgetLimit | None:
    """Return the budget that ended the training of every run; None if there is none, or they differ."""
    limits = [result.budget.limit for model in models for result in model.results]
    first = limits[0]
    return first if first is not None and all(limit == first for limit in limits) else None


def limit_text(limit: BudgetLimit) -> str:
    """Describe a budget: ``20 000 training images``, ``10 minutes of training``, ``2e+15 FLOPs of training``."""
    return amount_text(limit.unit, limit.amount)


def amount_text(unit: str, amount: float) -> str:
    """Describe an amount in the unit of a budget."""
    if unit == "images":
        return formatting.plural(round(amount), "training image")
    if unit == "minutes":
        return f"{amount:.3g} {agree(amount, 'minute')} of training"
    return f"{amount:.3g} FLOPs of training"


def curve_unit(models: Sequence[Model]) -> str | None:
    """Return the unit in which models are compared over their budgets: that of all limits, or images where these differ or some
    runs have none; None if no run has one.
    """
    limits = [result.budget.limit for model in models for result in model.results]
    units = {"" if limit is None else limit.unit for limit in limits}
    if units == {""}:
        return None
    return units.pop() if len(units) == 1 else "images"


def spent_curve(run: RunFolder, unit: str) -> tuple[Floats, Floats]:
    """Return what a run had spent at each validation, and its AP there as a fraction; two empty arrays where that is not known.

    FLOPs are those of the run in proportion to its images.
    """
    history, flops = run.history, run.result.budget.train_flops
    column = "step_seconds" if unit == "minutes" else "images_seen"
    if column not in history or "val_ap" not in history or (unit == "flops" and flops is None):
        return np.zeros(0), np.zeros(0)
    numbers = history[[column, "val_ap"]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    spent, ap = numbers[np.isfinite(numbers).all(axis=1)].T
    if unit == "minutes":
        spent = spent / 60
    elif unit == "flops" and len(spent):
        spent = spent * (flops or 0.0) / float(numbers[-1, 0])
    return spent, ap


def value_within(curve: tuple[Floats, Floats], amount: float) -> float:
    """Return the last AP that was measured before more than an amount was spent; NaN if there is none."""
    spent, ap = curve
    within = ap[spent <= amount]
    return float(within[-1]) if len(within) else float("nan")
