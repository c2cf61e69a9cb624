"""Fractions as text in percent, and their differences in percentage points."""

from __future__ import annotations

import math

from metrics.number_text import MISSING, with_minus_sign

MOST_DIGITS = 4
"""Decimals of the end of an interval that is close to 0."""


def points(value: float | None, digits: int = 1) -> str:
    """Format a fraction in percent, or a difference in percentage points: 0.341 is ``34.1``, never minus zero."""
    if value is None or not math.isfinite(value):
        return MISSING
    return with_minus_sign(f"{100 * value:.{digits}f}")


def points_interval(low: float, high: float) -> str:
    """Format an interval of values: ``[36.6, 45.8]``; empty if it is not known."""
    return f"[{points(low)}, {points(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def difference_interval(low: float, high: float) -> str:
    """Format an interval of a difference: ``[0.03, 5.2]``; empty if it is not known.

    An end that would be rounded to 0 gets more digits, so that the text shows whether the interval contains 0.
    """
    return f"[{_end(low)}, {_end(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def _end(value: float) -> str:
    for digits in range(1, MOST_DIGITS + 1):
        text = points(value, digits)
        if float(text.replace("−", "-")) != 0:
            return text
    return points(value)
