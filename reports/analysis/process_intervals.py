"""Student's t intervals of speed over fresh processes, the independent units of a timing.

Passes of one process share its memory layout and the state of the machine, so thousands of them say little about the next
process. Each process therefore gives one value, and intervals come from these values on the logarithmic scale, on which
slowdowns multiply.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A value with the limits of its 95% confidence interval; the limits are None where a model has a single process."""

    value: float
    low: float | None = None
    high: float | None = None


def geometric_mean(values: Floats) -> Estimate:
    """Estimate the geometric mean over processes.

    Args:
        values: (P,) one positive value per process.
    """
    logs = np.log(values)
    if len(logs) < 2:
        return Estimate(float(values[0]))
    return _estimate(float(logs.mean()), _standard_error(logs), len(logs) - 1, 1)


def mean_ratio(values: Floats, others: Floats, paired: bool, comparisons: int = 1) -> Estimate:
    """Estimate the ratio of two geometric means over processes.

    Args:
        values: (P,) one positive value per process.
        others: (Q,) the same of the model to compare with.
        paired: whether both were timed in turn in the same processes, so that P equals Q, and what slows down a process
            cancels out: Student's t with P - 1 degrees of freedom. Otherwise Welch's t.
        comparisons: number of ratios whose intervals hold jointly with 95% confidence (Bonferroni).
    """
    first, second = np.log(values), np.log(others)
    delta = float(first.mean() - second.mean())
    if min(len(first), len(second)) < 2:
        return Estimate(math.exp(delta))
    if paired:
        return _estimate(delta, _standard_error(first - second), len(first) - 1, comparisons)
    variances = [_standard_error(logs) ** 2 for logs in (first, second)]
    total = sum(variances)
    weights = [v**2 / (len(logs) - 1) for v, logs in zip(variances, (first, second), strict=True)]
    degrees = total**2 / sum(weights) if total > 0 else 1.0
    return _estimate(delta, math.sqrt(total), degrees, comparisons)


def mean_replicates(columns: Sequence[Floats], resamples: int, seed: Sequence[int]) -> Floats:
    """Draw logarithms of the geometric means of models that were timed in the same processes, from a multivariate t.

    Quantiles of one column are the limits of `geometric_mean`, those of a difference of two columns the limits of the
    paired `mean_ratio`, as the number of draws grows.

    Args:
        columns: M arrays (P,), P at least 2, one positive value per process.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        (resamples, M).
    """
    logs = np.log(np.stack(columns, axis=1))
    processes = len(logs)
    rng = np.random.default_rng(list(seed))
    normal = rng.standard_normal((resamples, processes))
    scale = np.sqrt((processes - 1) / rng.chisquare(processes - 1, (resamples, 1)))
    deviations = logs - logs.mean(axis=0)
    # Cov(normal @ deviations) is (P - 1) times the covariance of processes; that of their mean is 1 / P of it.
    draws: Floats = logs.mean(axis=0) + scale * (normal @ deviations) / math.sqrt(processes * (processes - 1))
    return draws


def _standard_error(logs: Floats) -> float:
    return float(logs.std(ddof=1) / math.sqrt(len(logs)))


def _estimate(log_mean: float, error: float, degrees: float, comparisons: int) -> Estimate:
    half = float(student.ppf(1 - (1 - CONFIDENCE) / (2 * comparisons), degrees)) * error
    # Two processes that differ much have limits beyond the range of floats.
    ends = (math.exp(min(max(log_mean + side * half, -700.0), 700.0)) for side in (-1, 1))
    return Estimate(math.exp(log_mean), *ends)
