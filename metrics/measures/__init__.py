"""Measures: one file each; the name of the file is the name that a user types.

A measure is a function of `Matches` (and of settings with defaults) that returns a list of `Value`; `@measure` makes
it known under its file's name. What a file offers beyond single numbers (curves, tables of counts) are functions of
`Matches` with results of their own type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metrics.matching import Matches
from metrics.registry import Registry

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class Value:
    """One number that a measure gives.

    Attributes:
        name: short and lower case, as a user types it: ``ap50``. The values of one measure for all classes together
            have different names; those of a single class bear the name of the value for all.
        value: NaN where there is nothing to measure.
        class_name: the class; empty for all together.
        area: name of the area range.
        iou: the threshold; for several ``0.50:0.95``; empty where the measure does not know one.
        max_dets: how many detections of an image and class count; 0 where it does not matter.
        better: which way is better, where it is not the measure's own.
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
    """A measure that a user can name.

    Attributes:
        name: that of its file.
        function: takes `Matches`, and settings that all have defaults.
        better: which way is better; ``neither`` for a description (a threshold, a count).
        source: where it is defined.
        summary: one line.
    """

    name: str
    function: Callable[..., Sequence[Value]]
    better: Better
    source: str
    summary: str

    def __call__(self, matches: Matches, **settings: Any) -> list[Value]:
        """The measure's values; those for all classes come first."""
        return list(self.function(matches, **settings))


MEASURES: Registry[Measure] = Registry("measure", __name__)


def measure(
    name: str, better: Better, source: str
) -> Callable[[Callable[..., Sequence[Value]]], Callable[..., Sequence[Value]]]:
    """Register the function below as the measure `name`; the first line of its docstring is the summary.

    Args:
        name: that of the file.
        better: ``higher``, ``lower`` or ``neither``.
        source: paper and equation, or the program whose numbers these are.
    """

    def register(function: Callable[..., Sequence[Value]]) -> Callable[..., Sequence[Value]]:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        MEASURES.register(name, Measure(name, function, better, source, summary))
        return function

    return register


def iou_text(thresholds: Sequence[float]) -> str:
    """``0.50`` for one threshold, ``0.50:0.95`` for several: as the column `iou` has it."""
    first, last = thresholds[0], thresholds[-1]
    return f"{first:.2f}" if len(thresholds) == 1 else f"{first:.2f}:{last:.2f}"
