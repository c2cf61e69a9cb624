"""Ratios and means that are NaN, not an error, where they are undefined."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Return part over whole element by element; NaN where the whole is 0.

    Args:
        part: numbers of any shape.
        whole: of the same shape, at least 0.
    """
    above, below = np.asarray(part), np.asarray(whole)
    values = np.full(below.shape, np.nan)
    np.divide(above, below, out=values, where=below > 0)
    return values


def mean_defined(values: NDArray[np.floating]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(np.mean(defined)) if len(defined) else math.nan
