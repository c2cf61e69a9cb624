"""Comparison of models over several data sets: ranks, tests over data sets, and mean differences with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Models ranked on every data set.

    Attributes:
        ranks: (D, M) rank of each model on each data set, from 1 for the best; equal values share the mean of their ranks.
        mean_ranks: (M,) over data sets.
        chi_square: Friedman's statistic, corrected for ties; NaN if all models are equal on all data sets.
        p_value: of the hypothesis that all models are equal, by Iman and Davenport's F.
        critical_difference: Nemenyi's: models whose mean ranks differ by less are not distinguished.
        groups: largest sets of at least two models that are not distinguished, each in order of the mean ranks.
    """

    ranks: Floats
    mean_ranks: Floats
    chi_square: float
    p_value: float
    critical_difference: float
    groups: tuple[tuple[int, ...], ...]


def rank_models(values: ArrayLike, confidence: float = 0.95) -> Ranking:
    """Rank models on every data set and test their mean ranks.

    Args:
        values: (D, M) value of each model on each data set, higher is better; at least 2 data sets and 2 models, no NaN.
        confidence: one minus the level of Nemenyi's test.

    Raises:
        InputError: fewer, or NaN.

    Source: Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", section 3.2.
    """
    from scipy.special import fdtrc

    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or np.isnan(table).any():
        raise InputError(
            f"rank_models: expected at least 2 data sets and 2 models without NaN, got shape {table.shape}"
        )
    data_sets, models = table.shape
    ranks = np.stack([_mean_ranks(-row) for row in table])
    means = ranks.mean(0)
    squares = data_sets * ((means - (models + 1) / 2) ** 2).sum()
    # Sum of squared deviations of the ranks, models (models^2 - 1) / 12 for each data set without ties
    spread = ((ranks - (models + 1) / 2) ** 2).sum() / (data_sets * (models - 1))
    chi_square = float(squares / spread) if spread > 0 else math.nan
    most = data_sets * (models - 1)
    if math.isnan(chi_square):
        p_value = 1.0
    elif most - chi_square < 1e-9:  # all data sets agree
        p_value = 0.0
    else:
        f = (data_sets - 1) * chi_square / (most - chi_square)
        p_value = float(fdtrc(models - 1, (models - 1) * (data_sets - 1), f))
    critical = nemenyi_critical_difference(models, data_sets, confidence)
    return Ranking(ranks, means, chi_square, p_value, critical, _groups(means, critical))


def nemenyi_critical_difference(models: int, data_sets: int, confidence: float = 0.95) -> float:
    """The difference of two mean ranks from which on Nemenyi's test distinguishes the models.

    Source: Demsar 2006, equation for CD and table 5 (critical values are studentized ranges divided by the root of 2).
    """
    from scipy.stats import studentized_range

    critical = float(studentized_range.ppf(confidence, models, math.inf)) / math.sqrt(2)
    return critical * math.sqrt(models * (models + 1) / (6 * data_sets))


def signed_rank_p_value(differences: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test, exact for any number of ties.

    Args:
        differences: (D,) of two models on each data set; those that are 0 are left out.

    Returns:
        The share of the 2**D choices of signs whose sum of ranks is at least as far from its mean; 1 without differences.

    Source: Wilcoxon 1945, "Individual comparisons by ranking methods".
    """
    known = np.asarray(differences, np.float64)
    known = known[np.abs(known) > 1e-12]
    if not len(known):
        return 1.0
    doubled = np.round(2 * _mean_ranks(np.abs(known))).astype(np.int64)  # integers in spite of ties
    total = int(doubled.sum())
    counts = np.zeros(total + 1)
    counts[0] = 1.0
    for rank in doubled.tolist():
        counts[rank:] += counts[:-rank].copy()
        counts /= 2  # probabilities: no overflow
    observed = int(doubled[known > 0].sum())
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * observed - total)
    return float(min(1.0, counts[far].sum()))


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """Mean difference over data sets, and the spread between them; NaN where unknown.

    Attributes:
        mean: weighted mean over data sets.
        low, high: confidence interval of the mean over all data sets of this kind.
        p_value: two-sided, of a mean of 0.
        spread: standard deviation of the true differences between data sets.
        new_low, new_high: prediction interval of the true difference on another data set.
    """

    mean: float
    low: float
    high: float
    p_value: float
    spread: float
    new_low: float
    new_high: float


def mean_difference(
    differences: ArrayLike, standard_errors: ArrayLike, confidence: float = 0.95
) -> MeanDifference:
    """Summarize the differences of two models over data sets by a random-effects model.

    Each difference is the true one on that data set plus an error of known standard error; the true ones vary between data
    sets with a variance that is estimated (Paule and Mandel 1982). The interval of the mean is Hartung and Knapp's.

    Args:
        differences: (D,).
        standard_errors: (D,) of each, above 0; NaN for all or none.
        confidence: level of the intervals.

    Returns:
        Intervals are NaN for fewer than two data sets; the prediction interval for fewer than three.

    Source: Hartung and Knapp 2001; IntHout, Ioannidis and Borm 2014, for few data sets; Higgins, Thompson and Spiegelhalter
    2009, for the prediction interval.
    """
    from scipy.special import stdtr, stdtrit

    delta, se = np.asarray(differences, np.float64), np.asarray(standard_errors, np.float64)
    count, nan = len(delta), math.nan
    variance = np.where(np.isnan(se), 0.0, se**2)
    if count < 2:
        return MeanDifference(float(delta[0]) if count else nan, nan, nan, nan, nan, nan, nan)
    between = _variance_between(delta, variance)
    total = variance + between
    weights = 1 / total if (total > 0).all() else np.ones(count)
    mean = float((weights * delta).sum() / weights.sum())
    error = math.sqrt(float((weights * (delta - mean) ** 2).sum() / ((count - 1) * weights.sum())))
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * error
    if error > 0:
        p_value = float(2 * stdtr(count - 1, -abs(mean) / error))
    else:
        p_value = 1.0 if abs(mean) < 1e-12 else 0.0
    reach = nan
    if count > 2:
        reach = float(stdtrit(count - 2, (1 + confidence) / 2)) * math.sqrt(between + error**2)
    return MeanDifference(
        mean, mean - half, mean + half, p_value, math.sqrt(between), mean - reach, mean + reach
    )


def _variance_between(delta: Floats, variance: Floats) -> float:
    """Variance between data sets at which the weighted squared deviations have their expected sum; 0 if they are below it."""

    def excess(between: float) -> float:
        total = variance + between
        weights = 1 / total
        mean = (weights * delta).sum() / weights.sum()
        return float((weights * (delta - mean) ** 2).sum() - (len(delta) - 1))

    if not (variance > 0).all():
        return float(delta.var(ddof=1))
    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(delta.var(ddof=1)) + 1e-12
    while excess(high) > 0:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def _mean_ranks(values: Floats) -> Floats:
    """Ranks from 1 in increasing order; values that differ by rounding only share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > 1e-12)
    group = np.cumsum(np.isin(np.arange(len(values)), starts)) - 1
    sizes = np.bincount(group)
    mean = np.cumsum(sizes) - (sizes - 1) / 2
    ranks = np.empty(len(values))
    ranks[order] = mean[group]
    return ranks


def _groups(means: Floats, critical: float) -> tuple[tuple[int, ...], ...]:
    order: Sequence[int] = np.argsort(means, kind="stable").tolist()
    found: list[tuple[int, ...]] = []
    last = 0
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and means[order[end + 1]] - means[order[start]] < critical:
            end += 1
        if end > start and end > last:
            found.append(tuple(order[start : end + 1]))
            last = end
    return tuple(found)
