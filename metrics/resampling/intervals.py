"""Confidence intervals and p-values of a value or a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.resampling.scale import Scale
from metrics.resampling.variance import Variance

Floats = NDArray[np.float64]
IntervalMethod = Literal["t", "none"]

POWER = 0.8
"""Power of the minimum detectable difference."""

ROUNDING = 1e-12
"""Differences that are equal in exact arithmetic may differ by 1e-17 after two sums."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its standard error, and Student's t interval on a bounded scale.

    Attributes:
        estimate: on the original data.
        low, high: NaN where the variance is unknown.
        se: standard error.
        bias: mean of the bootstrap replicates minus the estimate.
        dof: degrees of freedom of the standard error.
        scaled_se: standard error on the scale.
        scale: on which the interval is symmetric.
        method: ``t`` or ``none``.
        resamples: number of replicates that are not NaN.
    """

    estimate: float
    low: float
    high: float
    se: float
    bias: float
    dof: float
    scaled_se: float
    scale: Scale
    method: IntervalMethod
    resamples: int

    def at(self, quantile: float) -> tuple[float, float]:
        """Return the interval of this many standard errors on both sides."""
        centre, half = self.scale.forward(self.estimate), quantile * self.scaled_se
        low, high = self.scale.inverse(np.array([centre - half, centre + half]))
        return float(low), float(high)

    @property
    def t(self) -> float:
        """Distance of the estimate from 0 in standard errors, on the scale; NaN where the variance is unknown."""
        if self.method == "none":
            return float("nan")
        if abs(self.estimate) < ROUNDING:
            return 0.0
        distance = float(self.scale.forward(self.estimate) - self.scale.forward(0.0))
        return distance / self.scaled_se if self.scaled_se > 0 else float(np.copysign(np.inf, distance))

    @property
    def p_value(self) -> float:
        """Two-sided p-value of Student's t test: below 1 - confidence exactly where the interval excludes 0."""
        from scipy.special import stdtr

        return float(2 * stdtr(self.dof, -abs(self.t)))

    @property
    def probability_above_zero(self) -> float:
        """Share of the t distribution around the estimate that is above 0: 1/2 for an estimate of 0."""
        from scipy.special import stdtr

        return float(stdtr(self.dof, self.t))

    def detectable(self, confidence: float, power: float = POWER) -> float:
        """Return the minimum detectable difference: ``(t_(1 + confidence) / 2 + t_power) * se``.

        It is at most the greatest possible difference.

        Source: Bloom 1995, "Minimum detectable effects".
        """
        from scipy.special import stdtrit

        if self.method == "none":
            return float("nan")
        size = float(stdtrit(self.dof, (1 + confidence) / 2) + stdtrit(self.dof, power)) * self.se
        return size if self.scale.bounds is None else min(size, self.scale.bounds[1])


def t_interval_of_replicates(
    estimate: float,
    replicates: Floats,
    variance: Variance,
    confidence: float = 0.95,
    scale: Scale | None = None,
) -> Interval:
    """Compute Student's t interval with the standard error of the bootstrap.

    The interval is ``estimate -+ t * se`` on the scale, where the standard error is the standard deviation of the transformed
    replicates, times the ratio of the standard error to the replicates' standard deviation. Intervals from percentiles, with
    or without correction for bias (BCa), cover less where a class is rare: replicates without an object of the class average
    over other classes.

    Args:
        estimate: on the original data.
        replicates: (B,) bootstrap replicates; NaN is left out.
        variance: of the estimate.
        confidence: level of the interval.
        scale: of the value; by default the interval is symmetric.

    Raises:
        InputError: a confidence outside (0, 1).

    Source: Hesterberg 2015, "What teachers should know about the bootstrap", section 4.1 (t interval with bootstrap standard
    error); Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 12.6 (transformations).
    """
    from scipy.special import stdtrit

    check_confidence(confidence)
    scale = scale or Scale()
    values = replicates[~np.isnan(replicates)]
    if len(values) < 2 or np.isnan(estimate) or not variance.dof > 0:
        nan = np.nan
        return Interval(estimate, nan, nan, nan, nan, 0.0, nan, scale, "none", len(values))
    se, spread = float(np.sqrt(variance.total)), float(values.std(ddof=1))
    bias = float(values.mean() - estimate)
    scaled = se
    if scale.bounds is not None:
        low, high = scale.bounds
        scaled = se * (
            float(scale.forward(values).std(ddof=1)) / spread if spread > ROUNDING else 2 / (high - low)
        )
    if se < ROUNDING:
        se = scaled = 0.0
    interval = Interval(estimate, 0, 0, se, bias, variance.dof, scaled, scale, "t", len(values))
    ends = interval.at(float(stdtrit(variance.dof, (1 + confidence) / 2))) if se else (estimate, estimate)
    return Interval(estimate, *ends, se, bias, variance.dof, scaled, scale, "t", len(values))


def pointwise_t_intervals(
    estimates: Floats,
    replicates: Floats,
    se: Floats,
    dof: Floats,
    confidence: float = 0.95,
    scale: Scale | None = None,
) -> tuple[Floats, Floats]:
    """Compute Student's t interval of each point of a curve.

    Args:
        estimates: (P,) on the original data.
        replicates: (B, P) bootstrap replicates; NaN is left out.
        se: (P,) standard errors.
        dof: (P,) degrees of freedom; 0 where the standard error is unknown.
        confidence: level of each interval.
        scale: of the values; by default intervals are symmetric.

    Returns:
        (P,) low and (P,) high, as of `t_interval_of_replicates` for each point.

    Raises:
        InputError: a confidence outside (0, 1).
    """
    from scipy.special import stdtrit

    check_confidence(confidence)
    scale = scale or Scale()
    spread, count = deviations(replicates)
    known = (count > 1) & ~np.isnan(estimates) & (dof > 0)
    scaled = se
    if scale.bounds is not None:
        least, most = scale.bounds
        ratio = np.full(len(se), 2 / (most - least))
        np.divide(deviations(scale.forward(replicates))[0], spread, out=ratio, where=spread > ROUNDING)
        scaled = se * ratio
    centre, half = scale.forward(estimates), stdtrit(np.maximum(dof, 1.0), (1 + confidence) / 2) * scaled
    certain = se < ROUNDING
    low, high = (np.where(certain, estimates, scale.inverse(centre + sign * half)) for sign in (-1, 1))
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def deviations(values: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Standard deviation of each column without NaN, with one degree of freedom less, and how many values it has.

    Args:
        values: (B, P).

    Returns:
        (P,) and (P,); the deviation of fewer than two values is 0.
    """
    defined = ~np.isnan(values)
    count = np.count_nonzero(defined, axis=0)
    mean = np.where(defined, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(defined, values - mean, 0.0) ** 2
    return np.sqrt(squares.sum(axis=0) / np.maximum(count - 1, 1)), count


def permutation_p_value(delta: float, permuted: Floats) -> float:
    """Two-sided p-value of a difference from its distribution under the null hypothesis.

    Args:
        delta: the observed difference.
        permuted: (P,) differences under permutation; NaN is left out.

    Returns:
        ``(1 + #{|d'| >= |d|}) / (P + 1)``; NaN if undefined.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, equation 4.11 (the added ones).
    """
    values = permuted[~np.isnan(permuted)]
    if np.isnan(delta) or not len(values):
        return float("nan")
    return float((1 + np.count_nonzero(np.abs(values) >= abs(delta) - ROUNDING)) / (1 + len(values)))


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
