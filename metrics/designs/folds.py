"""Student's t interval of a mean over folds, whose training images overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class FoldInterval:
    """A mean over folds with its interval; NaN where unknown.

    Attributes:
        mean: over the folds whose value is defined.
        low, high: limits of the confidence interval.
        se: standard error.
        p_value: two-sided, of the hypothesis that the mean is 0.
        folds: number of folds whose value is defined; the degrees of freedom are one less.
    """

    mean: float
    low: float
    high: float
    se: float
    p_value: float
    folds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is known and does not contain 0."""
        return self.low > 0 or self.high < 0


def fold_interval(values: ArrayLike, test_share: float, confidence: float = 0.95) -> FoldInterval:
    """The corrected resampled t interval of a mean over folds.

    The variance of the mean is ``(1 / K + test_share) * s**2``, where ``s**2`` is the variance of the K values: any two folds
    share training images, so that their values are correlated, by assumption as much as the share of the test images in all
    images. With `test_share` 0 it is the naive interval, which takes folds for independent experiments.

    Args:
        values: (K,) of each fold: of a model, or a difference of two models on the same folds. NaN is left out.
        test_share: number of test images of a fold divided by its number of training images, at least 0.
        confidence: level of the interval.

    Returns:
        Limits and standard error are NaN for fewer than two folds. Equal values have an interval of width 0.

    Source: Nadeau and Bengio 2003, "Inference for the generalization error", section 5 (the corrected resampled t-test).
    """
    from scipy.special import stdtr, stdtrit

    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    count = len(known)
    if count < 2:
        return FoldInterval(float(known[0]) if count else math.nan, *(math.nan,) * 4, count)
    mean = float(known.mean())
    # Equal values may differ by rounding.
    spread = float(known.std(ddof=1)) if np.ptp(known) > 1e-12 else 0.0
    se = math.sqrt(1 / count + test_share) * spread
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * se
    if se > 0:
        p_value = float(2 * stdtr(count - 1, -abs(mean) / se))
    else:
        p_value = 1.0 if abs(mean) < 1e-12 else 0.0
    return FoldInterval(mean, mean - half, mean + half, se, p_value, count)
