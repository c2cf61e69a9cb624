"""Estimates of models and of differences, with replicates over images and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.compare.rows import Limit
from metrics.compare.seeds import seed_variances
from metrics.resampling.intervals import Interval, t_interval_of_replicates
from metrics.resampling.multiple_comparisons import simultaneous_quantile
from metrics.resampling.scale import Scale
from metrics.resampling.variance import (
    ClassReplicates,
    SeedVariance,
    Variance,
    add_seeds,
    variance_over_images,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeededEstimate:
    """A model's value, or a difference of two models, with replicates over images and seeds.

    Attributes:
        value: mean over seeds.
        images: (B,) mean over seeds on resampled images; NaN where undefined.
        shift: (B,) random shift due to seeds.
        seeds: variance of the mean over seeds of each model involved.
        units: number of resampling units that the value depends on.
        classes: replicates of each class, for a mean over classes.
        scale: of the value.
    """

    value: float
    images: Floats
    shift: Floats
    seeds: tuple[SeedVariance, ...]
    units: int
    classes: ClassReplicates | None
    scale: Scale

    def __sub__(self, other: SeededEstimate) -> SeededEstimate:
        classes = None
        if self.classes is not None and other.classes is not None:
            classes = self.classes - other.classes
        return SeededEstimate(
            self.value - other.value,
            self.images - other.images,
            self.shift - other.shift,
            self.seeds + other.seeds,
            self.units,
            classes,
            self.scale.of_difference,
        )

    @property
    def replicates(self) -> Floats:
        """(B,) on resampled images and seeds, within the bounds of the value; NaN where undefined."""
        if not self.shift.any():
            return self.images
        moved = self.images + self.shift
        return moved if self.scale.bounds is None else np.clip(moved, *self.scale.bounds)

    @property
    def variance(self) -> Variance:
        """Variance over images and seeds, with its degrees of freedom."""
        return add_seeds(self._over_images, self.seeds)

    def variance_with(self, images: float = 1, seeds: float = 1) -> Variance:
        """Return the variance that this many times as many images or seeds would have."""
        variance, dof = self._over_images
        more = (variance / images, images * (dof + 1) - 1) if dof > 0 else (variance, dof)
        return add_seeds(more, [part.times(seeds) if part.dof > 0 else part for part in self.seeds])

    def limited_by(self, confidence: float) -> Limit:
        """Return whether twice the images or twice the seeds would make the interval narrower; images without seeds."""
        if self._over_images[1] <= 0 or not any(part.dof > 0 for part in self.seeds):
            return "images"
        more_images, more_seeds = self.variance_with(images=2), self.variance_with(seeds=2)
        return "seeds" if more_seeds.half_width(confidence) < more_images.half_width(confidence) else "images"

    def interval(self, confidence: float) -> Interval:
        """Return the confidence interval; see `metrics.resampling.intervals.t_interval_of_replicates`."""
        return t_interval_of_replicates(self.value, self.replicates, self.variance, confidence, self.scale)

    @cached_property
    def _over_images(self) -> tuple[float, float]:
        """Variance over images and its degrees of freedom."""
        defined = self.images[~np.isnan(self.images)]
        if len(defined) < 2 or np.isnan(self.value):
            return 0.0, 0.0
        return variance_over_images(defined, self.units, self.classes)


def estimate_models(
    tables: Mapping[str, Floats],
    shifts: Mapping[str, Floats],
    units: int,
    scale: Scale,
    classes: Mapping[str, ClassReplicates] | None = None,
) -> dict[str, SeededEstimate]:
    """Return the estimate of each model.

    Args:
        tables: by model (1 + B, S): value of each seed on all images, then on each resample.
        shifts: by model (B,) from `metrics.compare.seeds.standard_shifts`.
        units: number of resampling units that the value depends on.
        scale: of the value.
        classes: by model, for a mean over classes.
    """
    variances = seed_variances(
        [table[0] for table in tables.values()], [table[1:] for table in tables.values()]
    )
    return {
        model: SeededEstimate(
            float(table[0].mean()),
            table[1:].mean(axis=1),
            np.sqrt(seeds.learned) * shifts[model],
            (seeds,),
            units,
            None if classes is None else classes[model],
            scale,
        )
        for (model, table), seeds in zip(tables.items(), variances, strict=True)
    }


def best_first(values: Mapping[str, float], better: Literal["higher", "lower"]) -> list[str]:
    """Return the names of models by their values, best first; NaN last, ties by name."""
    sign = -1.0 if better == "higher" else 1.0
    return sorted(
        values, key=lambda model: (np.isnan(values[model]), sign * np.nan_to_num(values[model]), model)
    )


def simultaneous_ends(
    deltas: Sequence[SeededEstimate], intervals: Sequence[Interval], confidence: float
) -> list[tuple[float, float]]:
    """Return the ends of intervals of differences that hold simultaneously, each with its own degrees of freedom.

    Args:
        deltas: differences from the same resamples.
        intervals: of each.
        confidence: simultaneous level.
    """
    from scipy.special import ndtr, stdtrit

    if len(deltas) == 1:
        return [(intervals[0].low, intervals[0].high)]
    replicates = np.stack([delta.replicates for delta in deltas], axis=1)
    quantile = simultaneous_quantile(replicates[~np.isnan(replicates).any(axis=1)], confidence)
    level = float(ndtr(quantile))
    return [
        interval.at(float(stdtrit(interval.dof, level))) if interval.se > 0 else (interval.low, interval.high)
        for interval in intervals
    ]
