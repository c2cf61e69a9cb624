"""Multiple comparisons: simultaneous intervals, adjusted p-values, intervals of ranks, and compact letter displays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def max_deviation(estimates: Floats, replicates: Floats, se: Floats) -> Floats:
    """Return (B,) the largest deviation of several differences in each replicate, in standard errors.

    Args:
        estimates: (P,) differences on the original data.
        replicates: (B, P) bootstrap replicates of the differences.
        se: (P,) standard errors. A difference with standard error 0 has no deviation.

    Source: Westfall and Young 1993, Resampling-Based Multiple Testing, section 2.5 (single-step maxT).
    """
    varies = se > 0
    if not varies.any():
        return np.zeros(len(replicates))
    deviations = np.abs(replicates[:, varies] - estimates[varies]) / se[varies]
    return np.asarray(np.nanmax(deviations, axis=1))


def simultaneous_quantile(replicates: Floats, confidence: float = 0.95) -> float:
    """Return the number of standard errors of intervals that contain all true differences simultaneously.

    Args:
        replicates: (B, P) bootstrap replicates of the differences, without NaN.
        confidence: simultaneous level of the intervals.

    Returns:
        The quantile of the largest deviation, at least that of a normal distribution, which is the answer for one difference.
        It applies to a known variance: the interval of a difference uses Student's quantile of the same probability.
    """
    from scipy.special import ndtri

    single = float(ndtri((1 + confidence) / 2))
    if replicates.shape[1] == 1 or len(replicates) < 2:
        return single
    spread = replicates.std(axis=0, ddof=1)
    largest = max_deviation(replicates.mean(axis=0), replicates, np.where(spread > 1e-12, spread, 0.0))
    return max(float(np.quantile(largest, confidence)), single)


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values to control the family-wise error rate. NaN stays NaN and does not count.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p_values, np.float64)
    order = _ascending(p)
    adjusted = np.full(p.shape, np.nan)
    scaled = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjust p-values to control the false discovery rate. NaN stays NaN and does not count.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate".
    """
    p = np.asarray(p_values, np.float64)
    order = _ascending(p)
    adjusted = np.full(p.shape, np.nan)
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _ascending(p: Floats) -> NDArray[np.intp]:
    """Indices of the p-values that are not NaN, in ascending order."""
    defined = np.flatnonzero(~np.isnan(p))
    return defined[np.argsort(p[defined], kind="stable")]


def rank_intervals(
    ahead: NDArray[np.bool_], equal: NDArray[np.bool_], confidence: float = 0.95
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Compute percentile intervals of the ranks of several models.

    Args:
        ahead: (B, M, M) whether the second model is ahead of the first in each replicate.
        equal: (M, M) whether two models are equal in all replicates; true on the diagonal.
        confidence: level of each interval.

    Returns:
        (M,) best and (M,) worst rank, from 1. Models that are equal can each have any of the ranks they share.
    """
    first = 1 + ahead.sum(axis=2)
    last = first + equal.sum(axis=1) - 1
    tail = (1 - confidence) / 2
    best = np.quantile(first, tail, axis=0, method="inverted_cdf")
    worst = np.quantile(last, 1 - tail, axis=0, method="inverted_cdf")
    return best.astype(np.int64), worst.astype(np.int64)


def compact_letters(names: Sequence[str], differ: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Compute a compact letter display: two models share a letter exactly where they do not differ.

    Args:
        names: best first, without duplicates; the first gets an ``a``.
        differ: pairs that differ.

    Returns:
        One or more letters per name: ``a`` ... ``z``, then ``(aa)`` and so on.

    Source: Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons" (insert and absorb).
    """
    groups = [frozenset(names)]
    for one, other in differ:
        split: list[frozenset[str]] = []
        for group in groups:
            split += [group - {one}, group - {other}] if {one, other} <= group else [group]
        groups = [
            group
            for index, group in enumerate(split)
            if not any(
                group < larger or (group == larger and before < index) for before, larger in enumerate(split)
            )
        ]
    rank = {name: index for index, name in enumerate(names)}
    groups = _without_redundant(groups)
    groups.sort(key=lambda group: sorted(rank[name] for name in group))
    return {
        name: "".join(_letter(index) for index, group in enumerate(groups) if name in group) for name in names
    }


def _without_redundant(groups: list[frozenset[str]]) -> list[frozenset[str]]:
    """Remove the groups whose pairs (or single members) are all in other groups."""
    kept = list(groups)
    for group in sorted(groups, key=len):
        others = [other for other in kept if other is not group]
        pairs = list(combinations(sorted(group), 2)) or [(name, name) for name in group]
        if all(any({*pair} <= other for other in others) for pair in pairs):
            kept = others
    return kept


def _letter(index: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return alphabet[index] if index < 26 else f"({alphabet[index // 26 - 1]}{alphabet[index % 26]})"
