"""What commas in numbers of a table are: decimal points, or separators of thousands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

CommaMeaning = Literal["decimal", "thousands"]

NUMBER = re.compile(r"\s*(-?\d+(,\d+)*([.]\d+)?([eE][-+]?\d+)?)?\s*")
"""A number with or without commas, or nothing."""

_GROUPED = re.compile(r"-?[1-9]\d{0,2}(,\d{3})+")
_LARGE = re.compile(r"-?\d{4,}([.]0*)?")


def comma_meaning(values: Iterable[str]) -> CommaMeaning | None:
    """What commas in numbers of one table are; None if ``1,024`` may be 1.024 or 1024 there.

    A comma that does not stand before three digits is a decimal point, and one of two, or one beside a point, separates thousands.
    Where there is neither, numbers from 1000 without a comma show that thousands are not separated, and numbers with a point show
    that commas are no decimal points.

    Args:
        values: the numbers as they are written; others are not looked at.
    """
    proven: set[CommaMeaning] = set()
    likely: set[CommaMeaning] = set()
    for written in values:
        value = written.strip()
        if "," not in value:
            if _LARGE.fullmatch(value):
                likely.add("decimal")
            elif "." in value:
                likely.add("thousands")
        elif value.count(",") > 1 or "." in value:
            proven.add("thousands")
        elif not _GROUPED.fullmatch(value):
            proven.add("decimal")
    found = proven or likely
    return found.pop() if len(found) == 1 else None


def without_commas(value: str, meaning: CommaMeaning) -> str:
    """A number with a decimal point and no other separator."""
    return value.replace(",", "." if meaning == "decimal" else "")


def meaning_text(meaning: CommaMeaning) -> str:
    """What commas are read as, for notes."""
    return "decimal points" if meaning == "decimal" else "separators of thousands"


def ambiguous_text(value: str) -> str:
    """Why a number is refused, and what to do, for messages."""
    number = value.strip()
    return (
        f"{number!r} may be {number.replace(',', '.')} or {number.replace(',', '')}; write numbers with a decimal point, and thousands "
        f"without a separator"
    )
