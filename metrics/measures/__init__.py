"""Measures: one file each, named as the user names the measure.

A measure is a function of `Matches`, and of settings with defaults, that returns a list of `Value`; `@measure` registers it
under the name of its file. Curves and tables of counts are further functions of `Matches` in the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.ratios import mean_defined
from metrics.registry import Registry

__all__ = [
    "MEASURES",
    "Better",
    "ClassColumn",
    "Measure",
    "Value",
    "class_values",
    "iou_text",
    "measure",
    "overall_values",
]

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class Value:
    """One number computed by a measure.

    Attributes:
        name: short name in lower case: ``ap50``. Names are unique among the values of a measure over all classes; a value
            of a single class has the name of the corresponding value over all classes.
        value: NaN where undefined.
        class_name: the class; empty for all classes.
        area: name of the area range.
        iou: the IoU threshold, ``0.50:0.95`` for several, empty where there is none.
        max_dets: number of detections per image and class that count; 0 where it has no effect.
        better: direction, where it differs from the measure's.
    """

    name: str
    value: float
    class_name: str = ""
    area: str = "all"
    iou: str = ""
    max_dets: int = 0
    better: Better | None = None


class ClassColumn(NamedTuple):
    """A value for each class, and over all classes.

    Attributes:
        name: short name, see `Value`.
        by_class: (K,) values of the classes; NaN where undefined.
        area, iou, max_dets, better: see `Value`.
        overall: the value over all classes; by default the mean of those that are defined.
    """

    name: str
    by_class: NDArray[np.float64]
    area: str
    iou: str = ""
    max_dets: int = 0
    better: Better | None = None
    overall: float | None = None

    def value(self, number: float, class_name: str = "") -> Value:
        """Return `number` as this column's value of a class, or over all classes."""
        return Value(self.name, number, class_name, self.area, self.iou, self.max_dets, self.better)


def overall_values(columns: Sequence[ClassColumn]) -> list[Value]:
    """Return the value of each column over all classes."""
    return [
        column.value(mean_defined(column.by_class) if column.overall is None else column.overall)
        for column in columns
    ]


def class_values(
    columns: Sequence[ClassColumn], classes: Sequence[str], class_by_class: bool = False
) -> list[Value]:
    """Return the values of all classes.

    Args:
        columns: of K classes.
        classes: (K,) names.
        class_by_class: whether all values of a class come one after another, rather than all classes of a value.
    """
    pairs = [(column, label) for column in columns for label in range(len(classes))]
    if class_by_class:
        pairs.sort(key=lambda pair: pair[1])
    return [column.value(float(column.by_class[label]), classes[label]) for column, label in pairs]


@dataclass(frozen=True, slots=True)
class Measure:
    """A registered measure.

    Attributes:
        name: the name of its file.
        function: takes `Matches` and settings, which all have defaults.
        better: direction; ``neither`` for descriptive values (a threshold, a count).
        source: paper or program that defines it.
        summary: one line.
    """

    name: str
    function: Callable[..., Sequence[Value]]
    better: Better
    source: str
    summary: str

    def __call__(self, matches: Matches, **settings: Any) -> list[Value]:
        """Compute the measure's values, first those over all classes."""
        return list(self.function(matches, **settings))


MEASURES: Registry[Measure] = Registry("measure", __name__)


def measure(
    name: str, better: Better, source: str
) -> Callable[[Callable[..., Sequence[Value]]], Callable[..., Sequence[Value]]]:
    """Register the decorated function as the measure `name`; the first line of its docstring is the summary.

    Args:
        name: the name of the file.
        better: ``higher``, ``lower`` or ``neither``.
        source: paper and equation, or the reference program.
    """

    def register(function: Callable[..., Sequence[Value]]) -> Callable[..., Sequence[Value]]:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        MEASURES.register(name, Measure(name, function, better, source, summary))
        return function

    return register


def iou_text(thresholds: Sequence[float]) -> str:
    """Format IoU thresholds for `Value.iou`: ``0.50`` for one, ``0.50:0.95`` for several."""
    first, last = thresholds[0], thresholds[-1]
    return f"{first:.2f}" if len(thresholds) == 1 else f"{first:.2f}:{last:.2f}"
