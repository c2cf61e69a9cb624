"""Mean performance under corruption, absolute and relative to that on clean images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RobustValue:
    """A value with the limits of its interval; NaN where unknown."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """Summary over corruptions and severities.

    Attributes:
        mpc: mean performance under corruption.
        rpc: mPC divided by the performance on clean images; NaN if that is 0.
    """

    mpc: RobustValue
    rpc: RobustValue


def robustness(
    clean: float,
    cells: Mapping[tuple[str, int], float],
    clean_replicates: Floats | None = None,
    cell_replicates: Mapping[tuple[str, int], Floats] | None = None,
) -> Robustness:
    """Mean performance under corruption: the mean over corruptions of their means over severities.

    Args:
        clean: value on clean images.
        cells: value of each corruption and severity; at least one.
        clean_replicates: (B,) bootstrap replicates of `clean`.
        cell_replicates: the same of each cell, on the same resamples of the images. The intervals are percentiles.

    Source: Michaelis et al. 2019, "Benchmarking robustness in object detection", arXiv:1907.07484, section 3.
    """
    mpc = mean_performance(cells)
    rpc = mpc / clean if clean > 0 else math.nan
    if clean_replicates is None or not cell_replicates:
        return Robustness(RobustValue(mpc, math.nan, math.nan), RobustValue(rpc, math.nan, math.nan))
    means = mean_replicates(cell_replicates)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(clean_replicates > 0, means / clean_replicates, np.nan)
    return Robustness(RobustValue(mpc, *percentiles(means)), RobustValue(rpc, *percentiles(shares)))


def mean_performance(cells: Mapping[tuple[str, int], float]) -> float:
    """mPC: every corruption counts the same, however many severities it has."""
    names = dict.fromkeys(name for name, _ in cells)
    return float(
        np.mean([np.mean([value for (own, _), value in cells.items() if own == name]) for name in names])
    )


def mean_replicates(cells: Mapping[tuple[str, int], Floats]) -> Floats:
    """(B,) mPC in each replicate."""
    names = dict.fromkeys(name for name, _ in cells)
    of_names = [
        np.mean([values for (own, _), values in cells.items() if own == name], axis=0) for name in names
    ]
    return np.asarray(np.mean(of_names, axis=0))


def percentiles(replicates: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Limits of the percentile interval; NaN is left out."""
    known = replicates[~np.isnan(replicates)]
    if len(known) < 2:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
