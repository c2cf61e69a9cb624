"""Percentiles without a distribution: a measured value for each, an interval where there are enough of them, else none."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from metrics.errors import InputError


class Ranks(NamedTuple):
    """Which of n sorted values bound a percentile; counted from 1, None where there is no such value."""

    low: int | None
    high: int | None


def quantile(values: NDArray[np.float64], p: float) -> float:
    """The smallest of `values` that at least a share `p` of them does not exceed; NaN of none.

    Args:
        values: (n,) in any order.
        p: in (0, 1].
    """
    if not len(values):
        return math.nan
    at = math.ceil(round(len(values) * p, 9)) - 1  # 100 * 0.29 is 28.999...: products may be off by an ulp
    return float(np.partition(values, at)[at])


def interval_ranks(n: int, p: float, confidence: float = 0.95) -> Ranks:
    """Ranks l and u such that the p-quantile lies between the l-th and the u-th of n independent values.

    However they are distributed, it does so with at least `confidence`: l is the binomial quantile (n, p) of half the
    rest, u one more than that of the other half (David and Nagaraja 2003, Order Statistics, section 7.1).

    Args:
        n: values.
        p: in (0, 1).
        confidence: in (0, 1).

    Returns:
        A bound is None where not even the smallest or largest of so few values will do.
    """
    _check(p, confidence)
    rest = (1 - confidence) / 2
    low, high = int(binom.ppf(rest, n, p)), int(binom.ppf(1 - rest, n, p)) + 1
    return Ranks(low if low >= 1 else None, high if high <= n else None)


def least_count(p: float, confidence: float = 0.95) -> int:
    """The fewest values whose largest bounds the p-quantile from above: 6 for 0.5, 36 for 0.9, 368 for 0.99."""
    _check(p, confidence)
    estimate = math.ceil(math.log((1 - confidence) / 2) / math.log(p))
    # The logarithms may be off by an ulp where the answer is a whole number.
    return next(n for n in range(max(estimate - 1, 1), estimate + 2) if interval_ranks(n, p, confidence).high)


def _check(p: float, confidence: float) -> None:
    if not (0 < p < 1 and 0 < confidence < 1):
        raise InputError(f"a percentile and a confidence lie between 0 and 1, got {p:g} and {confidence:g}")
