"""Bootstrap confidence intervals and p-values of a value or a difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Floats = NDArray[np.float64]
IntervalMethod = Literal["percentile", "bca", "none"]

BCA_BIAS = 0.1
"""Bias, in standard errors, above which BCa replaces the percentile interval.

The textbook's quarter is too high for average precision: its envelope is a running maximum, so it is biased upwards on few
images, by three times the bias that resamples of those images show (`tests/benchmarks/interval_coverage.py`). With a tenth,
most intervals of values are BCa; intervals of differences, in which the bias cancels, remain percentile intervals.
"""

MDD_STANDARD_ERRORS = 2.8
"""Minimum detectable difference in standard errors, at 80% power and the 5% level: 1.96 + 0.84."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        estimate: on the original data.
        low, high: NaN with fewer than two defined replicates.
        se: standard deviation of the replicates.
        bias: mean of the replicates minus the estimate.
        method: ``percentile``, ``bca`` (where the bias is large) or ``none``.
        resamples: number of replicates that are not NaN.
    """

    estimate: float
    low: float
    high: float
    se: float
    bias: float
    method: IntervalMethod
    resamples: int


def bootstrap_interval(
    estimate: float,
    replicates: Floats,
    confidence: float = 0.95,
    jackknife: Callable[[], Floats] | None = None,
    units: int | None = None,
) -> Interval:
    """Compute the percentile interval, or BCa where the bias is large and leave-one-out values are available.

    Args:
        estimate: on the original data.
        replicates: (B,) bootstrap replicates; NaN is left out.
        confidence: level of the interval.
        jackknife: returns (U,) leave-one-out values; called only if needed.
        units: U. Resamples of few units vary too little, so more extreme percentiles are used: for a mean, those that give
            Student's t interval. None for many units. A single unit gives no interval.

    Raises:
        InputError: a confidence outside (0, 1).

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, sections 10.2, 13.3 and 14.3; Hesterberg 2015,
    "What teachers should know about the bootstrap" (expanded percentiles).
    """
    check_confidence(confidence)
    values = replicates[~np.isnan(replicates)]
    if len(values) < 2 or np.isnan(estimate) or units == 1:
        return Interval(estimate, np.nan, np.nan, np.nan, np.nan, "none", len(values))
    se = float(values.std(ddof=1))
    bias = float(values.mean() - estimate)
    tails = _tails(confidence, units)
    method: IntervalMethod = "percentile"
    if jackknife is not None and abs(bias) > BCA_BIAS * se and se > 0:
        corrected = bca_tails(estimate, values, jackknife(), tails)
        if np.isfinite(corrected).all():
            tails, method = corrected, "bca"
    low, high = np.quantile(values, tails)
    return Interval(estimate, float(low), float(high), se, bias, method, len(values))


def _tails(confidence: float, units: int | None) -> Floats:
    """The two quantiles of the replicates that form the interval."""
    tail = (1 + confidence) / 2
    if units is not None:
        from scipy.special import ndtr, stdtrit

        tail = float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, tail)))
    return np.array([1 - tail, tail])


def bca_tails(estimate: float, replicates: Floats, jackknife: Floats, tails: Floats) -> Floats:
    """Return the quantiles that the bias-corrected and accelerated interval (BCa) uses instead of `tails`.

    Args:
        estimate: on the original data.
        replicates: (B,) bootstrap replicates without NaN.
        jackknife: (U,) leave-one-out values; NaN is left out.
        tails: (...) in (0, 1).

    Returns:
        (...) NaN where the estimate is outside the range of the replicates, or the correction diverges.

    Source: Efron 1987, "Better bootstrap confidence intervals", equations 2.3, 6.6 and 7.3.
    """
    from scipy.special import ndtr, ndtri

    below = (np.mean(replicates < estimate) + np.mean(replicates <= estimate)) / 2
    bias = ndtri(below)
    without = jackknife[~np.isnan(jackknife)]
    from_mean = without.mean() - without if len(without) else np.zeros(1)
    spread = np.sum(from_mean**2)
    acceleration = np.sum(from_mean**3) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = bias + ndtri(tails)
    with np.errstate(invalid="ignore"):
        corrected = ndtr(bias + shifted / (1 - acceleration * shifted))
    return np.where(acceleration * shifted < 1, corrected, np.nan)


def bootstrap_p_value(estimate: float, replicates: Floats) -> float:
    """Two-sided p-value of a difference: how often replicates deviate from it by at least its size.

    Args:
        estimate: the difference on the original data.
        replicates: (B,) bootstrap replicates; NaN is left out.

    Returns:
        ``(1 + #{|d* - d| >= |d|}) / (B + 1)``: 1 for no difference, never 0; NaN if undefined.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, equation 4.11 (the added ones).
    """
    return permutation_p_value(estimate, replicates - estimate)


def permutation_p_value(delta: float, permuted: Floats) -> float:
    """Two-sided p-value of a difference from its distribution under the null hypothesis.

    Args:
        delta: the observed difference.
        permuted: (P,) differences under permutation; NaN is left out.

    Returns:
        ``(1 + #{|d'| >= |d|}) / (P + 1)``; NaN if undefined.
    """
    values = permuted[~np.isnan(permuted)]
    if np.isnan(delta) or not len(values):
        return float("nan")
    # Differences that are equal in exact arithmetic may differ by 1e-17 after two sums.
    return float((1 + np.count_nonzero(np.abs(values) >= abs(delta) - 1e-12)) / (1 + len(values)))


def probability_above_zero(replicates: Floats) -> float:
    """Return the share of replicates above 0; zeros count half."""
    values = replicates[~np.isnan(replicates)]
    values = np.where(np.abs(values) < 1e-12, 0.0, values)
    return float(np.mean((values > 0) + 0.5 * (values == 0))) if len(values) else float("nan")


def t_interval(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Compute Student's t interval of the mean of a few independent values, such as one per seed.

    Args:
        values: (S,) without NaN.
        confidence: level of the interval.

    Returns:
        Low and high; NaN for fewer than two values.

    Source: Student 1908, "The probable error of a mean".
    """
    from scipy.special import stdtrit

    check_confidence(confidence)
    count = len(values)
    if count < 2:
        return float("nan"), float("nan")
    half = stdtrit(count - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(count)
    return float(values.mean() - half), float(values.mean() + half)


def check_confidence(confidence: float) -> None:
    """Raise an `InputError` for a confidence outside (0, 1)."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number between 0 and 1, got {confidence}")
