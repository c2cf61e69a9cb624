"""Measures: one file each, named as the user names the measure.

A measure is a function of `Matches`, and of settings with defaults, that returns a list of `Value`; `@measure` registers it
under the name of its file. Curves and tables of counts are further functions of `Matches` in the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metrics.matching import Matches
from metrics.registry import Registry

__all__ = ["MEASURES", "Better", "Measure", "Value", "iou_text", "measure"]

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
