"""Which of several named values is the highest or the lowest, with ties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.compare.verdict import EQUAL


@dataclass(frozen=True, slots=True)
class Extreme:
    """The highest or lowest of several values.

    Attributes:
        value: NaN if no value is defined.
        holders: the names that have it, in the given order.
        shared_by_all: whether all names with a defined value have it, and there are at least two.
    """

    value: float
    holders: tuple[str, ...]
    shared_by_all: bool


def highest(names: Sequence[str], values: Sequence[float]) -> Extreme:
    """Return the highest of the defined values, and all names that have it.

    Args:
        names: one per value.
        values: NaN where undefined.
    """
    known = [(name, value) for name, value in zip(names, values, strict=True) if not math.isnan(value)]
    top = max((value for _, value in known), default=math.nan)
    holders = tuple(name for name, value in known if top - value < EQUAL)
    return Extreme(top, holders, 1 < len(holders) == len(known))


def lowest(names: Sequence[str], values: Sequence[float]) -> Extreme:
    """Return the lowest of the defined values, and all names that have it; arguments as `highest`."""
    extreme = highest(names, [-value for value in values])
    return Extreme(0.0 - extreme.value, extreme.holders, extreme.shared_by_all)
