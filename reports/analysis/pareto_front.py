"""The Pareto front of latency and accuracy, its hypervolume, and the probability of being on it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Floats = NDArray[np.float64]


def pareto_front(latency: Floats, quality: Floats) -> NDArray[np.bool_]:
    """Find the models that no other model dominates: at least as fast and as good, and better in one of the two.

    Args:
        latency: (..., M), lower is better.
        quality: (..., M), higher is better.

    Returns:
        (..., M) bool; false where either is NaN.
    """
    known = np.isfinite(latency) & np.isfinite(quality)
    # Unknown values dominate nothing.
    fast = np.where(known, latency, np.inf)
    good = np.where(known, quality, -np.inf)
    as_fast, as_good = fast[..., :, None] <= fast[..., None, :], good[..., :, None] >= good[..., None, :]
    dominates = as_fast & as_good & ~(as_fast.swapaxes(-1, -2) & as_good.swapaxes(-1, -2))
    dominated: NDArray[np.bool_] = np.asarray(dominates.any(axis=-2))
    return known & ~dominated


def hypervolume(latency: Floats, quality: Floats, reference: tuple[float, float]) -> float:
    """Compute the area between the front and a reference point, on the logarithm of latency; higher is better.

    Zitzler and Thiele (1998), "Multiobjective optimization using evolutionary algorithms", for two objectives: the
    sum over the front, ordered by latency, of (ln of the next latency - ln of this) * (quality - that of the
    reference), the reference's latency coming last.

    Args:
        latency: (M,) above 0.
        quality: (M,).
        reference: latency and quality; models that do not beat both add nothing.

    Raises:
        InputError: a latency is not above 0.
    """
    last, floor = reference
    if (latency <= 0).any() or not last > 0:
        raise InputError("hypervolume: latencies must be above 0, because their logarithm is taken")
    kept = pareto_front(latency, quality) & (latency < last) & (quality > floor)
    order = np.argsort(latency[kept], kind="stable")
    at, above = np.log(latency[kept][order]), quality[kept][order] - floor
    return float((np.diff(np.append(at, math.log(last))) * above).sum())


def share_on_front(latency: Floats, quality: Floats) -> Floats:
    """Compute the share of joint replicates (B, M) in which each model is on the front: (M,)."""
    share: Floats = pareto_front(latency, quality).mean(axis=0)
    return share


def reference_point(latency: Floats) -> tuple[float, float]:
    """Return the smallest power of ten that no latency exceeds, and quality 0."""
    known = latency[np.isfinite(latency)]
    highest = float(known.max()) if len(known) else 1.0
    exponent = math.ceil(math.log10(highest) - 1e-12)
    return 10.0**exponent, 0.0
