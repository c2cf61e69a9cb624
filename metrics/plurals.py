"""Counts in sentences: nouns and verbs that agree with a number (``1 image is``, ``2 images are``), and lists of counts."""

from __future__ import annotations

import re
from collections.abc import Mapping


def plural(number: int, one: str, many: str = "") -> str:
    """Format a count for a message: ``1 image``, ``1,200 images``.

    Args:
        number: the count; 0 takes the plural.
        one: the words after 1, such as ``image``, ``box`` or ``image has``.
        many: the words after another number; without them `one` gets the regular ending (-s, -es or -ies), so `one`
            must then end with a noun.
    """
    return f"{number:,} {agree(number, one, many)}"


def agree(number: float, one: str, many: str = "") -> str:
    """Return `one` for 1 and `many` for another number, without the number; see `plural`."""
    return one if number == 1 else many or _regular_plural(one)


def counts_by_kind(counts: Mapping[str, int]) -> str:
    """List counts in a form that suits every number and every name: ``line (1), point (1,200)``."""
    return ", ".join(f"{kind} ({count:,})" for kind, count in sorted(counts.items()))


def listed_counts(counts: Mapping[str, int]) -> str:
    """List counts after their names, in their order: ``train 2,805, val 40``."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _regular_plural(noun: str) -> str:
    if re.search(r"(?:s|x|sh|[^o]ch)$", noun):  # not epoch
        return f"{noun}es"
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}s"
