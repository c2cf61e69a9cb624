"""Slower should mean better: the front of models that nothing beats in both, how sure a place on it is, and its area."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Floats = NDArray[np.float64]


def front(latency: Floats, quality: Floats) -> NDArray[np.bool_]:
    """Which models no other one beats: none is as fast and as good, and faster or better.

    Of models ordered by latency these are the records of quality.

    Args:
        latency: (..., M), less is better.
        quality: (..., M), more is better.

    Returns:
        (..., M); false where either is NaN.
    """
    known = np.isfinite(latency) & np.isfinite(quality)
    # Of those that are not known, which beat nobody.
    fast = np.where(known, latency, np.inf)
    good = np.where(known, quality, -np.inf)
    as_fast, as_good = fast[..., :, None] <= fast[..., None, :], good[..., :, None] >= good[..., None, :]
    beats = as_fast & as_good & ~(as_fast.swapaxes(-1, -2) & as_good.swapaxes(-1, -2))
    beaten: NDArray[np.bool_] = np.asarray(beats.any(axis=-2))
    return known & ~beaten


def hypervolume(latency: Floats, quality: Floats, reference: tuple[float, float]) -> float:
    """Area between the front and a reference point, the latency by its logarithm: more is a better set of models.

    Zitzler and Thiele (1998), "Multiobjective optimization using evolutionary algorithms", for two objectives: the
    sum over the front, ordered by latency, of (ln of the next latency - ln of this) * (quality - that of the
    reference), the reference's latency coming last.

    Args:
        latency: (M,) above 0.
        quality: (M,).
        reference: latency and quality that every model should beat; what does not beat both adds nothing.

    Raises:
        InputError: a latency is not above 0.
    """
    last, floor = reference
    if (latency <= 0).any() or not last > 0:
        raise InputError("hypervolume: latencies must be above 0, because their logarithm is taken")
    kept = front(latency, quality) & (latency < last) & (quality > floor)
    order = np.argsort(latency[kept], kind="stable")
    at, above = np.log(latency[kept][order]), quality[kept][order] - floor
    return float((np.diff(np.append(at, math.log(last))) * above).sum())


def on_front(latency: Floats, quality: Floats) -> Floats:
    """(M,) how often each model is on the front, over joint replicates (B, M) of both."""
    share: Floats = front(latency, quality).mean(axis=0)
    return share


def reference_point(latency: Floats) -> tuple[float, float]:
    """The least power of ten that no latency exceeds, and quality 0: the same for sets that are timed alike."""
    known = latency[np.isfinite(latency)]
    highest = float(known.max()) if len(known) else 1.0
    exponent = math.ceil(math.log10(highest) - 1e-12)
    return 10.0**exponent, 0.0
