"""Sentences on classes: which have the lowest and the highest value, and the largest decisive difference between two models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metrics.compare import PairDifference
from reports.analysis.extremes import Extreme
from reports.elements import formatting


class ClassDifference(NamedTuple):
    """A difference between two models on a class: the class, the better and the other model, and its size, above 0."""

    name: str
    better: str
    other: str
    size: float


def largest_decisive(pairs: Iterable[PairDifference]) -> ClassDifference | None:
    """The largest of the decisive differences, with names that can be printed; None if there is none."""
    decisive = [row for row in pairs if row.decisive]
    if not decisive:
        return None
    row = max(decisive, key=lambda row: abs(row.delta))
    better, other = (row.model_a, row.model_b) if row.delta > 0 else (row.model_b, row.model_a)
    name, better, other = (formatting.printable(text) for text in (row.scope, better, other))
    return ClassDifference(name, better, other, abs(row.delta))


def extremes_text(which: str, measure: str, models: int, low: Extreme, high: Extreme) -> str:
    """Name the classes with the lowest and the highest value.

    Args:
        which: the classes that are ranked, after "of the classes".
        measure: of the values.
        models: number of models over which the values are means.
        low: lowest value.
        high: highest value, which is another.
    """
    over = "" if models == 1 else " (mean over models)"
    return (
        f"Of the classes {which}, {measure}{over} is lowest for {formatting.join_words(list(low.holders))} "
        f"({formatting.points(low.value)}) and highest for {formatting.join_words(list(high.holders))} "
        f"({formatting.points(high.value)})."
    )


def difference_text(largest: ClassDifference | None, measure: str = "") -> str:
    """Describe the largest decisive difference on a class, in `measure` where the section has several."""
    where = f" in {measure}" if measure else ""
    if largest is None:
        return f"No difference{where} between two models on a single class is decisive."
    return (
        f"The largest decisive difference{where} on a class is on {largest.name}: {largest.better} is "
        f"{formatting.points(largest.size)} percentage points above {largest.other}."
    )
