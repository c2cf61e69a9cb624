"""Fairness of training: whether validation AP, or mIoU, was still rising at its end, and whether the models had equal budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics.compare.verdict import EQUAL
from metrics.notes import Note
from reports.analysis.models import Model, flat
from reports.analysis.training_budget import SPENT, amount_text, shared_limit
from reports.elements import formatting
from reports.records.run import Budget

Floats = NDArray[np.float64]

SELECTION = {"val_ap": "AP", "val_miou": "mIoU"}
"""Columns of a history that can be the measure by which the best weights are chosen, with their titles."""

LATE = 0.75
"""Share of the epochs after which an evaluation belongs to the last quarter of training."""

LEAST_GAIN = 0.005
"""Gain in validation AP in the last quarter of training up to which a curve counts as flat, whatever its noise."""

LEAST_SHARE = 0.05
"""The same as a share of the highest validation AP, for models with a low one; the lower of both limits counts."""

SAME_BUDGET = 0.05
"""Relative difference up to which budgets count as equal."""

Quantity = tuple[str, Callable[[Budget], float | None], Callable[[float], str]]

BUDGETS: tuple[Quantity, ...] = (
    ("epochs", lambda budget: budget.epochs, lambda value: f"{value:g}"),
    ("training images seen", lambda budget: budget.images_seen, formatting.count),
    ("settings tried in tuning", lambda budget: budget.trials, formatting.count),
)
"""What has to be equal: name, value and text. Training time is not among them: it is a property of the model."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """The end of a run's curve of validation AP over epochs; of mIoU where the best weights were chosen by it.

    Attributes:
        evaluations: number of epochs with a validation AP.
        best_epoch: the first epoch with the highest validation AP; NaN without evaluations.
        late_gain: highest AP in the last quarter of the epochs minus the highest AP before; negative where the highest AP came
            before; NaN without evaluations in both parts.
        best: highest validation AP; NaN without evaluations.
        noise: size of random changes: root mean square of the falls between consecutive evaluations, rises counting as 0, in
            the second half of the epochs; 0 where there is a single change. For a curve without trend it is the standard
            deviation of an evaluation.
    """

    evaluations: int
    best_epoch: float
    late_gain: float
    best: float
    noise: float

    @classmethod
    def of(cls, epochs: Floats, values: Floats) -> Self:
        """Describe (N,) validation AP as fractions at (N,) ascending epochs."""
        if not len(epochs):
            return cls(0, math.nan, math.nan, math.nan, math.nan)
        late = epochs > LATE * epochs[-1]
        gain = float(values[late].max() - values[~late].max()) if not late.all() else math.nan
        changes = np.diff(values)[epochs[1:] > 0.5 * epochs[-1]]
        noise = float(np.sqrt(np.mean(np.minimum(changes, 0.0) ** 2))) if len(changes) > 1 else 0.0
        return cls(len(epochs), float(epochs[np.argmax(values)]), gain, float(values.max()), noise)

    @classmethod
    def of_history(cls, history: pd.DataFrame) -> Self:
        """Describe the curve in a run's history; epochs without validation are left out."""
        return cls.of(*validation_curve(history))

    @property
    def least_gain(self) -> float:
        """Gain from which the curve was rising: twice the noise, and at least `LEAST_GAIN`, or `LEAST_SHARE` of the highest AP
        where that is less.

        On flat curves of 20 evaluations with normal noise the late gain exceeds it in 1 of 200, of 8 in 1 of 20.
        """
        return max(2 * self.noise, min(LEAST_GAIN, LEAST_SHARE * self.best))

    @property
    def rising(self) -> bool | None:
        """Whether validation AP was still rising when training ended; None if that cannot be told."""
        return None if math.isnan(self.late_gain) else self.late_gain > self.least_gain


def selection_column(history: pd.DataFrame) -> str:
    """Return the column of the measure by which the best weights were chosen: of mIoU where it was measured, else of AP."""
    if "val_miou" in history and pd.to_numeric(history["val_miou"], errors="coerce").notna().any():
        return "val_miou"
    return "val_ap"


def validation_curve(history: pd.DataFrame, column: str | None = None) -> tuple[Floats, Floats]:
    """Return the epochs with a validation value and that value as a fraction; two empty arrays without any.

    Args:
        history: of a run.
        column: of the measure, one of `SELECTION`; by default that by which the best weights were chosen.
    """
    column = column or selection_column(history)
    if "epoch" not in history or column not in history:
        return np.zeros(0), np.zeros(0)
    numbers = history[["epoch", column]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    known = np.isfinite(numbers).all(axis=1)
    return numbers[known, 0], numbers[known, 1]


def late_gain_if_rising(model: Model) -> float | None:
    """Return the late gain of a model whose validation AP was still rising, mean over its runs; None if it was not.

    It was if the mean gain exceeds the mean of `LearningCurve.least_gain`, over the runs for which the gain is known.
    """
    curves = [LearningCurve.of_history(run.history) for run in model.runs]
    known = [curve for curve in curves if curve.rising is not None]
    if not known:
        return None
    gain = float(np.mean([curve.late_gain for curve in known]))
    least = float(np.mean([curve.least_gain for curve in known]))
    return gain if gain > least + EQUAL else None


def training_notes(models: Sequence[Model]) -> list[Note]:
    """List what makes a comparison of training unfair.

    Returns:
        Notes of the kinds ``still_rising`` (subject: the measure; values: the mean gain of the last quarter by model), ``validated_once`` (of several
        models; values: the number of evaluations, so that it is not known whether AP was still rising), ``unequal_budget`` (subject: a
        quantity of `BUDGETS`; values by model) and ``unequal_start`` (some models start from pretrained weights).
    """
    notes = []
    for column, measure in SELECTION.items():
        rising = {
            model.label: gain
            for model in models
            if selection_column(model.runs[0].history) == column
            and (gain := late_gain_if_rising(model)) is not None
        }
        if rising:
            text = f"validation {measure} was still rising when training ended: {formatting.join_words(list(rising))}"
            notes.append(Note("still_rising", text, measure, values=rising))
    once = {
        model.label: 1.0
        for model in models
        if all(LearningCurve.of_history(run.history).evaluations == 1 for run in model.runs)
    }
    if once and len(models) > 1:
        text = (
            "validation AP was measured only once, so it is not known whether it was still rising when training ended (see "
            f"train.validate_every): {formatting.join_words(list(once))}"
        )
        notes.append(Note("validated_once", text, values=once))
    for name, read, write in _budgets(models):
        values = {model.label: value for model in models if (value := mean_budget(model, read)) is not None}
        if len(values) > 1 and max(values.values()) - min(values.values()) > SAME_BUDGET * max(
            values.values()
        ):
            each = formatting.join_words([f"{label} {write(value)}" for label, value in values.items()])
            notes.append(Note("unequal_budget", f"training budgets differ in {name}: {each}", name, values))
    starts = {model.label: initial_weights(model) for model in models}
    if len({start != RANDOM_WEIGHTS for start in starts.values() if start}) > 1:
        pretrained = {label: float(start != RANDOM_WEIGHTS) for label, start in starts.items() if start}
        listed = formatting.join_words(
            [label for label, is_pretrained in pretrained.items() if is_pretrained]
        )
        notes.append(
            Note(
                "unequal_start",
                f"only some models start from pretrained weights: {listed}",
                values=pretrained,
            )
        )
    return notes


def _budgets(models: Sequence[Model]) -> tuple[Quantity, ...]:
    """What has to be equal: of models with the same limit what they spent of it, which early stopping can lower."""
    limit = shared_limit(models)
    if limit is None:
        return BUDGETS
    unit = limit.unit
    return ("budget spent", SPENT[unit], lambda value: amount_text(unit, value)), BUDGETS[-1]


RANDOM_WEIGHTS = "random weights"


def initial_weights(model: Model) -> str:
    """Return the weights before training, of the whole detector or else of the backbone; empty if not known."""
    config = model.results[0].config
    value = config.get("weights") or flat(config).get("backbone.weights")
    return RANDOM_WEIGHTS if value is None and "backbone" in config else str(value or "")


def mean_budget(model: Model, read: Callable[[Budget], float | None]) -> float | None:
    """Return the mean over the runs of a model for which a quantity is known; None if there is none."""
    values = [value for result in model.results if (value := read(result.budget)) is not None]
    return sum(values) / len(values) if values else None
