"""Many differences at once: simultaneous intervals, corrected p-values, ranks, and letters that group what is tied."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def max_deviation(estimates: Floats, replicates: Floats, spread: Floats) -> Floats:
    """(B,) in each resample, how many standard errors the most deviating of several differences deviates.

    Args:
        estimates: (P,) differences on the data as they are.
        replicates: (B, P) the same on resamples.
        spread: (P,) their standard errors. A difference without spread never deviates.

    Source: Westfall and Young 1993, Resampling-Based Multiple Testing, section 2.5 (single-step maxT).
    """
    moves = spread > 0
    if not moves.any():
        return np.zeros(len(replicates))
    return np.asarray(np.nanmax(np.abs(replicates[:, moves] - estimates[moves]) / spread[moves], axis=1))


def simultaneous_intervals(
    estimates: Floats, replicates: Floats, spread: Floats, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Intervals that hold all true differences at once, and p-values corrected alike.

    Args:
        estimates: (P,) see `max_deviation`.
        replicates: (B, P) likewise.
        spread: (P,) likewise.
        confidence: that all intervals hold.

    Returns:
        (P,) low, (P,) high, (P,) p-values: ``estimate -+ q * se`` with q the quantile of the greatest deviation, and
        how often it reaches each difference's own.
    """
    greatest = max_deviation(estimates, replicates, spread)
    half = np.quantile(greatest, confidence) * spread
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(spread > 0, np.abs(estimates) / spread, 0.0)
    p = (1 + (greatest[:, None] >= own - 1e-12).sum(axis=0)) / (1 + len(greatest))
    return estimates - half, estimates + half, p


def holm(p_values: ArrayLike) -> Floats:
    """p-values corrected so that the chance of any false claim stays at the level. NaN stays NaN and does not count.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p_values, np.float64)
    rising = _rising(p)
    corrected = np.full(p.shape, np.nan)
    scaled = p[rising] * np.arange(len(rising), 0, -1)
    corrected[rising] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """p-values corrected so that of all claims the expected share of false ones stays at the level. NaN stays NaN.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate".
    """
    p = np.asarray(p_values, np.float64)
    rising = _rising(p)
    corrected = np.full(p.shape, np.nan)
    scaled = p[rising] * len(rising) / np.arange(1, len(rising) + 1)
    corrected[rising] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return corrected


def _rising(p: Floats) -> NDArray[np.intp]:
    """Indices of the p-values that are known, least first."""
    known = np.flatnonzero(~np.isnan(p))
    return known[np.argsort(p[known], kind="stable")]


def rank_intervals(
    replicates: Floats, higher_is_better: bool = True, confidence: float = 0.95
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ranks, from 1, between which each of several models stays.

    Args:
        replicates: (B, M) of each model on the same resamples.
        higher_is_better: whether rank 1 is the greatest.
        confidence: of each interval.

    Returns:
        (M,) best and (M,) worst rank. Of models that tie in a resample, each can have any of the ranks that they share.
    """
    values = replicates if higher_is_better else -replicates
    ahead = (values[:, None, :] > values[:, :, None]).sum(axis=2)
    level = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    tail = (1 - confidence) / 2
    best = np.quantile(ahead + 1, tail, axis=0, method="inverted_cdf")
    worst = np.quantile(ahead + level, 1 - tail, axis=0, method="inverted_cdf")
    return best.astype(np.int64), worst.astype(np.int64)


def compact_letters(names: Sequence[str], differ: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Letters for models, so that two share one exactly where they do not differ.

    Args:
        names: best first, all different; the first gets an ``a``.
        differ: pairs that do.

    Returns:
        One or more letters for each name: ``a`` ... ``z``, then ``aa`` (in parentheses) and so on.

    Source: Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons" (insert and absorb).
    """
    groups = [frozenset(names)]
    for one, other in differ:
        split: list[frozenset[str]] = []
        for group in groups:
            split += [group - {one}, group - {other}] if {one, other} <= group else [group]
        groups = [
            group
            for place, group in enumerate(split)
            if not any(
                group < larger or (group == larger and before < place) for before, larger in enumerate(split)
            )
        ]
    place = {name: index for index, name in enumerate(names)}
    groups = _needed(groups, names)
    groups.sort(key=lambda group: sorted(place[name] for name in group))
    return {
        name: "".join(_letter(index) for index, group in enumerate(groups) if name in group) for name in names
    }


def _needed(groups: list[frozenset[str]], names: Sequence[str]) -> list[frozenset[str]]:
    """Without groups whose every pair (or lone member) another group holds too: fewer letters say the same."""
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
