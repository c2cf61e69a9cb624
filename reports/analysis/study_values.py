"""Values of settings and objectives of a study as text and as table cells."""

from __future__ import annotations

import math

from reports.elements import formatting
from reports.elements.page import Cell
from reports.records.study import StudyResult
from reports.records.trial import Dimension, Scalar

STATE_WORDS = {
    "complete": "complete",
    "pruned": "pruned",
    "fail": "failed",
    "running": "running",
    "waiting": "waiting",
}
"""Trial states in a sentence, in the order in which they are listed."""


def default_settings(result: StudyResult) -> str:
    """Name the settings of trial 0: after earlier stages they are the defaults of this stage only."""
    return "the default settings of this stage" if result.fixed else "the default settings"


def number(value: float | None) -> str:
    """An objective's value: three decimals, or four digits of a large one."""
    if value is None or not math.isfinite(value):
        return formatting.MISSING
    return formatting.with_minus_sign(f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}")


def number_cell(value: float | None, note: str = "", strong: bool = False) -> Cell:
    """The same as a table cell."""
    known = value is not None and math.isfinite(value)
    return Cell(number(value), value if known else None, note=note, strong=strong and known)


def signed(value: float) -> str:
    """A difference between two values, with its sign."""
    if not math.isfinite(value):
        return formatting.MISSING
    return formatting.with_minus_sign(f"{value:+.3f}" if abs(value) < 100 else f"{value:+.4g}")


def amount(value: float) -> str:
    """A size above 0 in three decimals; ``less than 0.001`` where they would be 0."""
    text = number(value)
    return "less than 0.001" if value > 0 and text == "0.000" else text


def interval(ends: tuple[float, float] | None) -> str:
    """``[0.400, 0.500]``; empty where unknown."""
    return "" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def option_text(value: Scalar) -> str:
    """An option in TOML's words: ``true``, ``none``, ``hard``; an empty list is ``empty``."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return (formatting.printable(value) or "empty") if isinstance(value, str) else f"{value:g}"


def setting_text(value: Scalar) -> str:
    """A setting's value in four digits, or as `option_text`."""
    return f"{value:.4g}" if isinstance(value, float) else formatting.truncate(option_text(value), 60)


def range_text(dimension: Dimension) -> str:
    """Where a setting was searched: ``0.1 to 0.9``, ``0.001 to 0.5 (log)``, ``hard, linear and diou``."""
    if dimension.options:
        texts = [formatting.truncate(option_text(option), 30) for option in dimension.options]
        return formatting.join_words(texts, 8)
    return f"{dimension.low:g} to {dimension.high:g}{' (log)' if dimension.log else ''}"
