"""An axis: one way in which images, or objects, fall into slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError

UNASSIGNED = "__unassigned__"
"""The slice of what an axis says nothing of."""

Target = Literal["image", "object"]

HOIEM = {"XS": 0.1, "S": 0.3, "M": 0.7, "L": 0.9, "XL": 1.0}
"""Names, and up to which share of a class's objects: the smallest tenth, the next fifth, and so on (Hoiem et al. 2012)."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A way in which images or objects fall into slices, each into one.

    Attributes:
        name: as a user types it.
        of: what falls into slices: ``image`` or ``object``.
        values: names of the slices, in the order in which they are shown.
        index: (I,) or (G,) int32 slice of each image of the catalog, or of each row of the truth; -1 for none.
    """

    name: str
    target: Target
    values: tuple[str, ...]
    index: NDArray[np.int32]

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values):
            raise InputError(f"Axis {self.name!r}: two slices have the same name; rename one")
        index = np.asarray(self.index)
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise InputError(
                f"Axis {self.name!r}: index: expected one integer per {self.target}, got {index.dtype}"
            )
        if len(index) and not -1 <= index.min() <= index.max() < len(self.values):
            raise InputError(f"Axis {self.name!r}: index: expected numbers in [-1, {len(self.values)})")
        object.__setattr__(self, "index", index.astype(np.int32))

    @classmethod
    def from_names(cls, name: str, of: Target, words: Sequence[str | None]) -> Self:
        """Slices by name, in alphabetical order; what has none (None or empty) is `UNASSIGNED`, and comes last.

        Args:
            name: of the axis.
            of: ``image`` or ``object``.
            words: one for each.
        """
        known = sorted({word for word in words if word and word != UNASSIGNED})
        place = {word: number for number, word in enumerate(known)}
        index = np.array([place.get(word or "", len(known)) for word in words], np.int32).reshape(-1)
        values = (*known, UNASSIGNED) if (index == len(known)).any() else tuple(known)
        return cls(name, of, values, index)

    @classmethod
    def from_bins(
        cls, name: str, of: Target, numbers: ArrayLike, upper: Sequence[float], values: Sequence[str]
    ) -> Self:
        """Slices by edges: slice m holds numbers above ``upper[m - 1]``, up to ``upper[m]``.

        Args:
            name: of the axis.
            of: ``image`` or ``object``.
            numbers: one for each; NaN is `UNASSIGNED`, a slice that is there only if it is needed.
            upper: rising; one less than slices, for the last has no end.
            values: names of the slices.

        Raises:
            InputError: edges that do not rise, or not one name more than edges.
        """
        column, edges = np.asarray(numbers, np.float64), np.asarray(upper, np.float64)
        if len(values) != len(edges) + 1:
            raise InputError(
                f"Axis {name!r}: {len(edges)} edges make {len(edges) + 1} slices, not {len(values)}"
            )
        if (np.diff(edges) <= 0).any():
            raise InputError(f"Axis {name!r}: expected rising edges, got {list(upper)}")
        return cls._with_unassigned(name, of, tuple(values), np.searchsorted(edges, column), np.isnan(column))

    @classmethod
    def from_quantiles(
        cls,
        name: str,
        of: Target,
        numbers: ArrayLike,
        shares: dict[str, float] | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Slices by rank: the lowest tenth, the next fifth and so on, where asked for within each group.

        Equal numbers are in one slice. A group of few fills only some of the slices.

        Args:
            name: of the axis.
            of: ``image`` or ``object``.
            numbers: one for each; NaN is `UNASSIGNED`.
            shares: names of the slices, and up to which share of all; by default `HOIEM`.
            groups: one integer for each, the class for instance; by default all are one group.

        Raises:
            InputError: shares do not rise to 1.
        """
        column = np.asarray(numbers, np.float64)
        chosen = HOIEM if shares is None else shares
        ends = np.array(list(chosen.values()), np.float64)
        if not len(ends) or (np.diff(ends) <= 0).any() or ends[0] <= 0 or ends[-1] != 1:
            raise InputError(f"Axis {name!r}: expected shares that rise to 1, got {chosen}")
        group = np.zeros(len(column), np.int64) if groups is None else np.asarray(groups, np.int64)
        known = np.flatnonzero(~np.isnan(column))
        order = known[np.lexsort((column[known], group[known]))]
        # The share of its group that lies below a number, or beside it in the middle of its equals.
        starts = (
            np.flatnonzero(np.diff(group[order], prepend=-1) != 0) if len(order) else np.zeros(0, np.int64)
        )
        first = np.repeat(starts, np.diff(np.append(starts, len(order))))
        size = np.repeat(np.diff(np.append(starts, len(order))), np.diff(np.append(starts, len(order))))
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = (np.diff(column[order]) != 0) | (np.diff(group[order]) != 0)
        run = np.cumsum(fresh) - 1
        runs = np.flatnonzero(fresh)
        length = np.diff(np.append(runs, len(order)))
        middle = (runs + length / 2)[run] - first
        index = np.zeros(len(column), np.int64)
        index[order] = np.searchsorted(ends, middle / size) if len(order) else 0
        return cls._with_unassigned(name, of, tuple(chosen), index, np.isnan(column))

    def crossed(self, other: Axis) -> Axis:
        """Slices of both at once: every pair that occurs, named ``day & rain``.

        Raises:
            InputError: one is of images, the other of objects.
        """
        if self.target != other.target or len(self.index) != len(other.index):
            raise InputError(
                f"cannot cross {self.name!r}, of {len(self.index)} {self.target}s, with {other.name!r}, of"
                f" {len(other.index)} {other.target}s; cross axes of the same"
            )
        both = self.index.astype(np.int64) * len(other.values) + other.index
        none = (self.index < 0) | (other.index < 0)
        pairs, index = np.unique(both[~none], return_inverse=True)
        full = np.full(len(both), -1, np.int32)
        full[~none] = index
        names = [
            f"{self.values[p // len(other.values)]} & {other.values[p % len(other.values)]}"
            for p in pairs.tolist()
        ]
        return Axis(f"{self.name} & {other.name}", self.target, tuple(names), full)

    @classmethod
    def _with_unassigned(
        cls,
        name: str,
        of: Target,
        values: tuple[str, ...],
        index: NDArray[np.int64],
        unknown: NDArray[np.bool_],
    ) -> Self:
        if unknown.any():
            return cls(
                name, of, (*values, UNASSIGNED), np.where(unknown, len(values), index).astype(np.int32)
            )
        return cls(name, of, values, index.astype(np.int32))
