"""Axes of a search space in figures: short unique names, and the position of each setting's values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.analysis.study_values import option_text
from reports.elements import formatting
from reports.records.study import StudyResult
from reports.records.trial import Dimension, Scalar, is_number

NAME_LENGTH = 28
OPTION_LENGTH = 14


@dataclass(frozen=True, slots=True)
class SearchAxis:
    """The axis of one setting.

    Attributes:
        path: of the setting.
        name: shortened; unique in the study.
        low, high: ends of the axis; positions of the first and the last option where there are options.
        log: whether the axis is logarithmic.
        options: texts of the options, by position; empty for a range of numbers.
        labels: the same, shortened; unique.
    """

    path: str
    name: str
    low: float
    high: float
    log: bool = False
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def position(self, value: Scalar) -> float:
        """The value itself, or the index of the option."""
        return self.options.index(option_text(value)) if self.options else float(value)  # type: ignore[arg-type]

    def relative(self, value: Scalar) -> float:
        """The position in [0, 1] between the ends; 0.5 where they are equal."""
        low, high, position = self.low, self.high, self.position(value)
        if self.log:
            low, high, position = math.log(low), math.log(high), math.log(position)
        return (position - low) / (high - low) if high > low else 0.5


def search_axes(result: StudyResult) -> dict[str, SearchAxis]:
    """The axis of each setting by path; it holds the values of all trials, also those outside the search space."""
    names = _unique_names([dimension.path for dimension in result.space])
    return {
        dimension.path: _axis(
            dimension,
            names[dimension.path],
            [trial.params[dimension.path] for trial in result.trials if dimension.path in trial.params],
        )
        for dimension in result.space
    }


def objective_names(result: StudyResult) -> list[str]:
    """Objectives as figures name them."""
    return [formatting.truncate(objective.text, NAME_LENGTH) for objective in result.objectives]


def _axis(dimension: Dimension, name: str, values: Sequence[Scalar]) -> SearchAxis:
    if not dimension.options and all(is_number(value) for value in values):
        assert dimension.low is not None
        assert dimension.high is not None
        ends = [dimension.low, dimension.high, *(float(value) for value in values if value is not None)]
        log = dimension.log and min(ends) > 0
        return SearchAxis(dimension.path, name, min(ends), max(ends), log)
    options = tuple(dict.fromkeys(option_text(value) for value in (*dimension.options, *values)))
    labels = [formatting.truncate(text, OPTION_LENGTH) for text in options]
    if len(set(labels)) < len(labels):
        labels = [f"{at}: {label[:-3]}" for at, label in enumerate(labels)]
    return SearchAxis(dimension.path, name, 0, len(options) - 1, options=options, labels=tuple(labels))


def _unique_names(paths: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for path in paths:
        name = formatting.truncate(path, NAME_LENGTH)
        if name in names.values():
            name = f"{formatting.truncate(path, NAME_LENGTH - 4)} ({len(names)})"
        names[path] = name
    return names
