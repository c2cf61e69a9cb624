"""Numbers as text, on pages and terminals alike: a true minus sign, and one mark for a missing number."""

from __future__ import annotations

import math

MISSING = "–"
"""Text for a number that is not defined or not known."""


def with_minus_sign(text: str) -> str:
    """Return a formatted number with a true minus sign, and zero without a sign."""
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def fixed(value: float | None, digits: int = 3) -> str:
    """Format with a fixed number of decimals: ``0.341``; `MISSING` for None and what is not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    return with_minus_sign(f"{value:.{digits}f}")
