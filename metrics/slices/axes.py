"""Axes: the assignment of images or objects to slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.plurals import plural

UNASSIGNED = "__unassigned__"
"""Slice of the images or objects without a value."""

Target = Literal["image", "object"]

HOIEM_SHARES = {"XS": 0.1, "S": 0.3, "M": 0.7, "L": 0.9, "XL": 1.0}
"""Slices of object size and their cumulative shares of a class's objects (Hoiem et al. 2012)."""


@dataclass(frozen=True, eq=False)
class Axis:
    """An assignment of each image or object to at most one slice.

    Attributes:
        name: name of the axis.
        target: what is assigned: ``image`` or ``object``.
        values: names of the slices, in display order.
        index: (I,) or (G,) int32 slice of each image of the catalog or each row of the truth; -1 for none.
    """

    name: str
    target: Target
    values: tuple[str, ...]
    index: NDArray[np.int32]

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values):
            raise InputError(f"Axis {self.name!r}: two slices have the same name; rename one of them")
        index = np.asarray(self.index)
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise InputError(
                f"Axis {self.name!r}: index: expected one integer per {self.target}, got {index.dtype}"
            )
        if len(index) and not -1 <= index.min() <= index.max() < len(self.values):
            raise InputError(f"Axis {self.name!r}: index: expected values in [-1, {len(self.values)})")
        object.__setattr__(self, "index", index.astype(np.int32))

    @classmethod
    def from_names(cls, name: str, target: Target, names: Sequence[str | None]) -> Self:
        """Make slices from names, in alphabetical order; None and empty names form the last slice, `UNASSIGNED`.

        Args:
            name: name of the axis.
            target: ``image`` or ``object``.
            names: slice of each image or object.
        """
        known = sorted({value for value in names if value and value != UNASSIGNED})
        position = {value: number for number, value in enumerate(known)}
        index = np.array([position.get(value or "", len(known)) for value in names], np.int32).reshape(-1)
        values = (*known, UNASSIGNED) if (index == len(known)).any() else tuple(known)
        return cls(name, target, values, index)

    @classmethod
    def from_bins(
        cls, name: str, target: Target, numbers: ArrayLike, upper: Sequence[float], values: Sequence[str]
    ) -> Self:
        """Make slices from bins: slice m has the numbers above ``upper[m - 1]``, up to ``upper[m]`` inclusive.

        Args:
            name: name of the axis.
            target: ``image`` or ``object``.
            numbers: number of each image or object; NaN is `UNASSIGNED`, a slice added only if needed.
            upper: ascending upper edges, one fewer than slices: the last slice has no upper edge.
            values: names of the slices.

        Raises:
            InputError: edges that are not ascending, or a number of names other than edges + 1.
        """
        column, edges = np.asarray(numbers, np.float64), np.asarray(upper, np.float64)
        if len(values) != len(edges) + 1:
            raise InputError(
                f"Axis {name!r}: {plural(len(edges), 'edge makes', 'edges make')} {plural(len(edges) + 1, 'slice')}, not {len(values)}"
            )
        if (np.diff(edges) <= 0).any():
            raise InputError(f"Axis {name!r}: expected ascending edges, got {list(upper)}")
        return cls._with_unassigned(
            name, target, tuple(values), np.searchsorted(edges, column), np.isnan(column)
        )

    @classmethod
    def from_quantiles(
        cls,
        name: str,
        target: Target,
        numbers: ArrayLike,
        shares: dict[str, float] | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Make slices by rank: the lowest 10%, the next 20% and so on, optionally within groups.

        Equal numbers are in one slice. A small group may leave slices empty.

        Args:
            name: name of the axis.
            target: ``image`` or ``object``.
            numbers: number of each image or object; NaN is `UNASSIGNED`.
            shares: names of the slices with their cumulative shares; by default `HOIEM_SHARES`.
            groups: group of each image or object as an integer, for instance the class; by default one group.

        Raises:
            InputError: shares that do not ascend to 1.
        """
        column = np.asarray(numbers, np.float64)
        chosen = HOIEM_SHARES if shares is None else shares
        ends = np.array(list(chosen.values()), np.float64)
        if not len(ends) or (np.diff(ends) <= 0).any() or ends[0] <= 0 or ends[-1] != 1:
            raise InputError(f"Axis {name!r}: expected shares that ascend to 1, got {chosen}")
        group = np.zeros(len(column), np.int64) if groups is None else np.asarray(groups, np.int64)
        known = np.flatnonzero(~np.isnan(column))
        order = known[np.lexsort((column[known], group[known]))]
        # Rank of each number in its group; equal numbers share the middle of their ranks.
        starts = (
            np.flatnonzero(np.diff(group[order], prepend=-1) != 0) if len(order) else np.zeros(0, np.int64)
        )
        sizes = np.diff(np.append(starts, len(order)))
        first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = (np.diff(column[order]) != 0) | (np.diff(group[order]) != 0)
        run = np.cumsum(is_first) - 1
        runs = np.flatnonzero(is_first)
        length = np.diff(np.append(runs, len(order)))
        middle = (runs + length / 2)[run] - first
        index = np.zeros(len(column), np.int64)
        index[order] = np.searchsorted(ends, middle / size) if len(order) else 0
        return cls._with_unassigned(name, target, tuple(chosen), index, np.isnan(column))

    def crossed(self, other: Axis) -> Axis:
        """Combine two axes: one slice for every pair of slices that occurs, named ``day & rain``.

        Raises:
            InputError: one axis is of images, the other of objects.
        """
        if self.target != other.target or len(self.index) != len(other.index):
            raise InputError(
                f"cannot cross {self.name!r}, of {plural(len(self.index), self.target)}, with {other.name!r}, of"
                f" {plural(len(other.index), other.target)}; use axes of the same images or objects"
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
        target: Target,
        values: tuple[str, ...],
        index: NDArray[np.int64],
        unknown: NDArray[np.bool_],
    ) -> Self:
        if unknown.any():
            index = np.where(unknown, len(values), index)
            values = (*values, UNASSIGNED)
        return cls(name, target, values, index.astype(np.int32))
