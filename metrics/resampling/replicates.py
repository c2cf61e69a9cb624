"""Bootstrap and leave-one-out replicates of statistics of a run, from one pass over its rankings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.plurals import plural
from metrics.resampling.blocks import Block, Lanes, block_by_block, class_mean
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.scale import Bounds
from metrics.resampling.weights import Weights, leave_one_out_weights

Floats = NDArray[np.float64]

JACKKNIFE_ROWS = 1024
"""Rows of leave-one-out weights made at once; a table of all rows would grow with the square of the images."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A measure as a function of the multiplicity of each image.

    Attributes:
        name: short name: ``ap50``.
        better: direction.
        of_classes: `Block` to (K, L); NaN where undefined for a class.
        of_all: `Block` to (L,); by default the mean over the classes for which it is defined.
        area: area range of the rule whose objects are valid; by default the first.
        bounds: least and greatest possible value, within which intervals stay; None for an unbounded value.
    """

    name: str
    better: Literal["higher", "lower"]
    of_classes: Callable[[Block], Lanes]
    of_all: Callable[[Block], Lanes] | None = None
    area: str | None = None
    bounds: Bounds = None

    @property
    def pooled(self) -> bool:
        """Whether the value over all classes is not their mean."""
        return self.of_all is not None

    def overall(self, block: Block) -> Lanes:
        """Return (L,) the value over all classes."""
        return self.of_all(block) if self.of_all else class_mean(self.of_classes(block))


@dataclass(frozen=True, eq=False, repr=False)
class Replicates:
    """A statistic of one run on the original images and under each row of weights.

    Attributes:
        statistic: the statistic.
        estimate: value on the original images; NaN where undefined.
        values: (B,) value under each row.
        class_estimate: (K,) value of each class on the original images.
        class_values: (B, K) value of each class under each row.
    """

    statistic: Statistic
    estimate: float
    values: Floats
    class_estimate: Floats
    class_values: Floats

    def __repr__(self) -> str:
        return (
            f"Replicates({self.statistic.name} {self.estimate:.4f}; {plural(len(self.values), 'replicate')})"
        )


def replicate(rankings: RunRankings, weights: Weights, statistics: Sequence[Statistic]) -> list[Replicates]:
    """Evaluate statistics of a run on the original images and under each row of weights.

    The value under a row equals that of a data set in which each image occurs as often as its weight, with its copies
    next to each other.

    Args:
        rankings: of the run.
        weights: (B, I) integers of at most 255.
        statistics: what to evaluate.

    Raises:
        InputError: the number of columns differs from the number of images.
    """
    images = len(rankings.matches.truth.catalog.image_ids)
    if weights.ndim != 2 or weights.shape[1] != images:
        raise InputError(f"weights: expected shape (B, {images}), one column per image, got {weights.shape}")
    rows = np.concatenate([np.ones((1, images), np.uint8), weights])
    return [
        Replicates(statistic, float(values[0]), values[1:], class_values[0], class_values[1:])
        for statistic, (values, class_values) in zip(
            statistics, weigh(rankings, rows, statistics), strict=True
        )
    ]


def leave_out(
    rankings: RunRankings, unit: NDArray[np.intp], statistics: Sequence[Statistic]
) -> list[tuple[Floats, Floats]]:
    """Evaluate each statistic with each unit left out: (U,) over all classes, and (U, K).

    Args:
        rankings: of the run.
        unit: (I,) resampling unit of each image, in [0, U).
        statistics: what to evaluate.
    """
    units = int(unit.max()) + 1
    return _concatenate(
        [
            weigh(
                rankings, leave_one_out_weights(unit, first, min(first + JACKKNIFE_ROWS, units)), statistics
            )
            for first in range(0, units, JACKKNIFE_ROWS)
        ]
    )


def weigh(
    rankings: RunRankings, weights: Weights, statistics: Sequence[Statistic]
) -> list[tuple[Floats, Floats]]:
    """Evaluate each statistic under each row of weights: (B,) over all classes, and (B, K).

    Args:
        rankings: of the run.
        weights: (B, I); (B, 2 I) for `SwappedRankings`.
        statistics: what to evaluate.
    """

    def measure(block: Block, lanes: int) -> list[tuple[Lanes, Lanes]]:
        return [
            (statistic.overall(block)[:lanes], statistic.of_classes(block)[:, :lanes].T.copy())
            for statistic in statistics
        ]

    return _concatenate(block_by_block(rankings, weights, measure))


def _concatenate(parts: Sequence[Sequence[tuple[Floats, Floats]]]) -> list[tuple[Floats, Floats]]:
    """Join the rows of each statistic."""
    return [
        (np.concatenate([values for values, _ in rows]), np.concatenate([by_class for _, by_class in rows]))
        for rows in zip(*parts, strict=True)
    ]
