"""Pointwise intervals of curves over images and training seeds: those of `metrics.compare.estimates`, all points at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.resampling.intervals import deviations, pointwise_t_intervals
from metrics.resampling.scale import Scale
from metrics.resampling.variance import excess_variance, moderate

Floats = NDArray[np.float64]


class SeedVariances(NamedTuple):
    """A `metrics.resampling.variance.SeedVariance` of each of P points."""

    learned: Floats
    observed: Floats
    contained: Floats
    dof: Floats


def curve_intervals(
    tables: Mapping[str, Floats],
    shifts: Mapping[str, Floats],
    units: int,
    confidence: float,
    scale: Scale,
) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return, by model, (P,) value, low and high: those of `SeededEstimate` at each point.

    Args:
        tables: by model (1 + B, P, S): curve of each seed on all images, then on each resample; NaN where undefined.
        shifts: by model (B,) from `metrics.compare.seeds.standard_shifts`.
        units: number of resampling units.
        confidence: level of each interval.
        scale: of the values.
    """
    seeds = curve_seed_variances(list(tables.values()))
    intervals = {}
    for (model, table), own in zip(tables.items(), seeds, strict=True):
        value, images = table[0].mean(axis=1), table[1:].mean(axis=2)
        spread, count = deviations(images)
        known = (count > 1) & ~np.isnan(value) & (units > 1)
        over_images = np.where(known, spread**2 * units / max(units - 1, 1), 0.0)
        total, dof = _with_seeds(over_images, np.where(known, units - 1.0, 0.0), own)
        moved = images + np.sqrt(own.learned) * shifts[model][:, None]
        if scale.bounds is not None:
            moved = np.where(own.learned > 0, np.clip(moved, *scale.bounds), images)
        ends = pointwise_t_intervals(value, moved, np.sqrt(total), dof, confidence, scale)
        intervals[model] = (value, *ends)
    return intervals


def curve_seed_variances(tables: Sequence[Floats]) -> list[SeedVariances]:
    """Estimate the variance of each model's mean over its seeds at each point, as `metrics.compare.seeds.seed_variances`.

    Args:
        tables: of each model (1 + B, P, S).
    """
    count = np.array([[float(table.shape[2])] for table in tables])
    observed, images = np.zeros((2, len(tables), tables[0].shape[1]))
    for index, table in enumerate(tables):
        seeds = table.shape[2]
        if seeds == 1:
            continue
        observed[index] = table[0].var(axis=1, ddof=1)
        mean = table[1:].mean(axis=2)
        own = [deviations(table[1:, :, seed] - mean) for seed in range(seeds)]
        squares = sum(deviation**2 for deviation, _ in own)
        images[index] = np.where(own[0][1] > 1, squares / (seeds - 1), 0.0)
    dof = np.where(np.isnan(observed), 0.0, count - 1)
    observed, known = moderate(observed, dof)
    images, _ = moderate(images, dof)
    learned = np.maximum(observed - images, 0.0)
    contained = np.where(count > 1, images, 0.0)
    parts = (learned / count, observed / count, contained / count, known)
    return [SeedVariances(*(part[index] for part in parts)) for index in range(len(tables))]


def _with_seeds(images: Floats, dof: Floats, seeds: SeedVariances) -> tuple[Floats, Floats]:
    """(P,) variance over images and seeds, and its degrees of freedom; see `metrics.resampling.variance.add_seeds`."""
    measured = seeds.dof > 0
    total = images + np.where(measured, seeds.learned, 0.0)
    excess = excess_variance(seeds.observed, seeds.contained, np.where(measured, seeds.dof, 1.0))
    uncertain = images**2 / np.maximum(dof, 1.0) + np.where(measured, excess, 0.0) / 2
    together = np.divide(total**2, uncertain, out=dof.copy(), where=uncertain > 0)
    return total, np.where(measured & (dof > 0), np.where(uncertain > 0, np.maximum(together, 1.0), dof), dof)
