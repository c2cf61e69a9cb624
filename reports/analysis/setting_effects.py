"""How much the values of a study differ by setting and by trial, in units of the objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from reports.records.study import StudyResult
from reports.records.trial import Scalar, TrialRecord, is_number

LEAST_FRACTION = 0.005
"""Difference worth mentioning between values that are all in [0, 1], such as AP."""

LEAST_SHARE = 0.01
"""Difference worth mentioning between other values, such as a latency, as a share of the best value."""

LEAST_TRIALS = 3
"""Number of trials of a group below which its median is not used."""

LAST_PART = 0.1
"""Last share of the trials in which an improvement means that more trials may improve the best value."""


@dataclass(frozen=True, slots=True)
class SettingEffect:
    """How a setting matters, by two measures that may disagree.

    Attributes:
        path: of the setting.
        importance: share of 1, see `StudyResult.importances`; it has no unit.
        effect: highest minus lowest median value of the groups of trials: one group per option, or the low, middle and high third
            of a number's values. NaN if fewer than two groups have `LEAST_TRIALS` trials.
        in_best: whether the best trial has another value than the default.
    """

    path: str
    importance: float
    effect: float
    in_best: bool


def setting_effects(result: StudyResult) -> list[SettingEffect]:
    """Return the settings with an importance, the most important first."""
    defaults = {dimension.path: dimension.default for dimension in result.space}
    best = result.complete[0].params if result.complete else {}
    return [
        SettingEffect(
            path,
            share,
            _effect(result.complete, path),
            path in best and best[path] != defaults.get(path),
        )
        for path, share in result.by_importance
    ]


def least_difference(result: StudyResult) -> float:
    """Return the difference between two values of the first objective from which it is worth mentioning."""
    values = [trial.value for trial in result.complete]
    if all(0 <= value <= 1 for value in values):
        return LEAST_FRACTION
    return LEAST_SHARE * abs(values[0])


def best_gain(result: StudyResult) -> float:
    """Return how much better the best trial is than the default settings; NaN if they have no value or exceed a limit."""
    if result.default is None or result.default.feasible is False:
        return math.nan
    return abs(result.complete[0].value - result.default.value)


def improvements(result: StudyResult) -> list[TrialRecord]:
    """Return the feasible trials that were the best when they finished, by number."""
    sign = 1.0 if result.objectives[0].higher else -1.0
    found: list[TrialRecord] = []
    for trial in result.counted:
        known = math.isfinite(trial.value) and trial.feasible is not False
        if known and (not found or sign * trial.value > sign * found[-1].value):
            found.append(trial)
    return found


def late_gain(result: StudyResult) -> float:
    """Return the improvement of the best value within the last tenth of the trials, at least 0; NaN without one before."""
    found = improvements(result)
    before = [trial for trial in found if trial.number < (1 - LAST_PART) * len(result.trials)]
    return abs(found[-1].value - before[-1].value) if before else math.nan


def _effect(trials: Sequence[TrialRecord], path: str) -> float:
    known = [(trial.params[path], trial.value) for trial in trials if path in trial.params]
    groups: dict[object, list[float]] = {}
    for (_, value), group in zip(known, _groups([given for given, _ in known]), strict=True):
        groups.setdefault(group, []).append(value)
    medians = [median(values) for values in groups.values() if len(values) >= LEAST_TRIALS]
    return max(medians) - min(medians) if len(medians) > 1 else math.nan


def _groups(given: Sequence[Scalar]) -> list[object]:
    """The group of each value: its third, or the value itself where not all are numbers; equal values share a group."""
    if not given or not all(is_number(value) for value in given):
        return [(type(value), value) for value in given]
    numbers = np.array(given, np.float64)
    edges = np.quantile(numbers, [1 / 3, 2 / 3], method="lower")
    return list(np.searchsorted(edges, numbers).tolist())
