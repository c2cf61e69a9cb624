"""Budgets that ended training: the one that all models share, and its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports.analysis.models import Model
from reports.elements import formatting
from reports.records.run import Budget, BudgetLimit

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
        return f"{amount:.3g} {'minute' if amount == 1 else 'minutes'} of training"
    return f"{amount:.3g} FLOPs of training"
