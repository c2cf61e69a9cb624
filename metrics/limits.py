"""Limits on measures as written on the command line: ``ap=0.40``, ``ap=40pt``, ``ap:car=2``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metrics.errors import InputError

__all__ = ["LimitUnit", "MeasureLimit", "parse_limit"]

LimitUnit = Literal["points", "value"]
"""``points``: percentage points; ``value``: the unit in which the measure is reported (for most a fraction)."""

POINTS_SUFFIX = "pt"

_EXAMPLES: dict[LimitUnit, str] = {
    "points": "ap=0.5, ap=0.5pt (percentage points), or ap:car=2",
    "value": "ap=0.40, ap=40pt (percentage points), or ap:car=0.40",
}


@dataclass(frozen=True, slots=True)
class MeasureLimit:
    """A limit on one measure.

    Attributes:
        measure: short name: ``ap50``.
        number: the limit, in `unit`.
        class_name: the class; empty for all classes.
        unit: percentage points, or the measure's own unit.
    """

    measure: str
    number: float
    class_name: str = ""
    unit: LimitUnit = "points"

    @property
    def points(self) -> float:
        """The limit in percentage points."""
        return self.number if self.unit == "points" else round(100 * self.number, 10)

    @property
    def value(self) -> float:
        """The limit in the measure's own unit."""
        return self.number if self.unit == "value" else self.number / 100

    def __str__(self) -> str:
        """``ap``, or ``ap on car`` for one class."""
        return f"{self.measure} on {self.class_name}" if self.class_name else self.measure


def parse_limit(
    text: str, unit: LimitUnit = "points", minimum: float = 0.0, option: str = ""
) -> MeasureLimit:
    """Parse ``MEASURE=NUMBER`` or ``MEASURE:CLASS=NUMBER``; ``pt`` after the number means percentage points.

    Args:
        text: ``ap=0.5``, ``ap=40pt`` or ``ap:car=2``.
        unit: unit of a number without suffix.
        minimum: least allowed number.
        option: name of the option that the text is a value of, for error messages.

    Raises:
        InputError: other text, or a number that is not finite or below the minimum.
    """
    name, equals, number = text.rpartition("=")
    measure, colon, class_name = name.strip().partition(":")
    where = f"{option} {text!r}".strip()
    if not equals or not measure or (colon and not class_name):
        raise InputError(f"{where}: expected a measure and a number, such as {_EXAMPLES[unit]} for one class")
    digits = number.strip()
    try:
        limit = float(digits.removesuffix(POINTS_SUFFIX))
    except ValueError:
        limit = math.nan
    if not minimum <= limit < math.inf or math.isinf(limit):
        expected = f"a number of at least {minimum:g}" if minimum > -math.inf else "a number"
        raise InputError(f"{where}: expected {expected} after =, got {number!r}")
    return MeasureLimit(measure, limit, class_name, "points" if digits.endswith(POINTS_SUFFIX) else unit)
