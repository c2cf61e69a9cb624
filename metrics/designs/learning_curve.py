"""Learning curves: a power law through the values at several numbers of training images, and what it says about more of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.plurals import agree, plural

Floats = NDArray[np.float64]

REACH = 4.0
"""Largest extrapolation, in multiples of the largest number of training images."""

LEAST_SIZES = 4
LEAST_RANGE = 4.0
"""Smallest ratio of the largest to the smallest number of training images."""

EXPONENTS = np.geomspace(0.02, 3.0, 240)
"""Exponents that are tried."""

Unsupported = Literal["few_sizes", "narrow_range", "one_seed", "misfit"]
"""Why a curve is not extrapolated: fewer than `LEAST_SIZES` sizes; sizes that differ by less than `LEAST_RANGE`; an unknown
variance between seeds; values that are no power law, given their standard errors."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The curve ``a - b * n**-c`` of a value between 0 and 1 over the number n of training images.

    Attributes:
        a: value with infinitely many images, in [0, 1].
        b: at least 0.
        c: exponent, above 0.
    """

    a: float
    b: float
    c: float

    def at(self, images: ArrayLike) -> Floats:
        """The value at each number of images."""
        return np.asarray(self.a - self.b * np.asarray(images, np.float64) ** -self.c)

    def images_until(self, value: float) -> float:
        """The number of images at which the curve reaches a value; infinite if it does not."""
        if self.a <= value:
            return math.inf
        return float((self.b / (self.a - value)) ** (1 / self.c)) if self.b > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with the limits of its confidence interval; infinite where a value is not reached."""

    value: float
    low: float
    high: float


def fit_power_law(images: ArrayLike, values: ArrayLike) -> PowerLaw:
    """Fit a power law by bounded least squares.

    Args:
        images: (K,) numbers of training images, at least 3 different ones.
        values: (K,) in [0, 1].

    Raises:
        InputError: fewer than 3 different numbers of images.

    Source: Hestness et al. 2017, arXiv:1712.00409, on power laws with a constant; Mahmood et al. 2022, "How much more data
    do I need?", on their use and on their optimism.
    """
    from scipy.optimize import least_squares

    n, y = np.asarray(images, np.float64), np.asarray(values, np.float64)
    if len(np.unique(n)) < 3:
        raise InputError(
            f"fit_power_law: {plural(len(np.unique(n)), 'different number')} of images, but a curve has 3 parameters"
        )
    a, b, c = _grid_fits(n, y[None])[0]
    scale = n.max()
    # On n / scale the parameters are of one magnitude.
    start = np.array([a, b * scale**-c, c])
    lower, upper = np.array([0.0, 0.0, EXPONENTS[0]]), np.array([1.0, np.inf, EXPONENTS[-1]])
    room = np.array([1e-9, 1e-9, 1e-9])

    def residuals(parameters: Floats) -> Floats:
        a, b, c = parameters
        return np.asarray(a - b * (n / scale) ** -c - y)

    found = least_squares(
        residuals,
        np.clip(start, lower + room, upper - room),
        bounds=(lower, upper),
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    ).x
    return PowerLaw(float(found[0]), float(found[1] * scale ** found[2]), float(found[2]))


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A fitted curve with its replicates.

    Attributes:
        images: (K,) numbers of training images, increasing.
        values: (K,) values.
        law: the fit.
        laws: (R, 3) a, b and c of each replicate.
        unsupported: why the curve is not extrapolated; None if it can be, up to `REACH` times the images.
    """

    images: Floats
    values: Floats
    law: PowerLaw
    laws: Floats
    unsupported: Unsupported | None

    @property
    def limit(self) -> float:
        """Largest number of images for which the curve says something."""
        return float(self.images[-1]) * (1.0 if self.unsupported else REACH)

    def at(self, images: float, confidence: float = 0.95) -> Estimate:
        """The value at a number of images.

        Raises:
            InputError: more images than `limit`.
        """
        if images > self.limit * (1 + 1e-9):
            raise InputError(
                f"LearningCurve.at: {images:g} {agree(images, 'image is', 'images are')} more than the limit of {self.limit:g}"
            )
        a, b, c = self.laws.T
        return _estimate(float(self.law.at(images)), a - b * images**-c, confidence)

    def gain(self, start: float, end: float, confidence: float = 0.95) -> Estimate:
        """The increase between two numbers of images, both within `limit`."""
        assert max(start, end) <= self.limit * (1 + 1e-9)
        return _estimate(float(self.law.at(end) - self.law.at(start)), self.gains(start, end), confidence)

    def gains(self, start: float, end: float) -> Floats:
        """(R,) the same in each replicate."""
        _, b, c = self.laws.T
        return np.asarray(b * (start**-c - end**-c))

    def images_until(self, value: float, confidence: float = 0.95) -> Estimate:
        """The number of images at which the value is reached; infinite for more than `limit`."""
        found = np.array([PowerLaw(*law).images_until(value) for law in self.laws.tolist()])
        own = self.law.images_until(value)
        estimate = _estimate(own, found, confidence)
        within = [x if x <= self.limit else math.inf for x in (estimate.value, estimate.low, estimate.high)]
        return Estimate(*within)


def learning_curve(
    images: ArrayLike, values: ArrayLike, replicates: Floats, seeds_vary: bool
) -> LearningCurve:
    """Fit a curve to values and to each of their replicates.

    Args:
        images: (K,) numbers of training images, increasing; at least 3.
        values: (K,) mean over seeds at each of them, in [0, 1].
        replicates: (R, K) bootstrap replicates of the values over images and seeds; rows with NaN are left out.
        seeds_vary: whether the replicates contain the variance between seeds.

    Raises:
        InputError: fewer than 3 numbers of images.
    """
    n, y = np.asarray(images, np.float64), np.asarray(values, np.float64)
    law = fit_power_law(n, y)
    known = replicates[~np.isnan(replicates).any(axis=1)]
    unsupported: Unsupported | None = None
    if len(n) < LEAST_SIZES:
        unsupported = "few_sizes"
    elif n[-1] < LEAST_RANGE * n[0]:
        unsupported = "narrow_range"
    elif not seeds_vary or len(known) < 2:
        unsupported = "one_seed"
    elif _misfit(y - law.at(n), known):
        unsupported = "misfit"
    return LearningCurve(n, y, law, _grid_fits(n, known), unsupported)


def _misfit(residuals: Floats, replicates: Floats) -> bool:
    """Whether the residuals are too large for a power law (chi-square test at 1 %), given the variance of the replicates.

    The variance that all sizes share, because they are tested on the same images, moves the curve as a whole and does not
    count.
    """
    from scipy.special import chdtri

    apart = replicates - replicates.mean(axis=1, keepdims=True)
    variance = apart.var(axis=0, ddof=1) * len(residuals) / (len(residuals) - 1)
    if not (variance > 0).all():
        return bool(np.abs(residuals).max() > 1e-6)
    return bool((residuals**2 / variance).sum() > chdtri(len(residuals) - 3, 0.01))


def _grid_fits(images: Floats, values: Floats) -> Floats:
    """(R, 3) a, b and c of the least squares fits to (R, K) values, with c among `EXPONENTS`.

    For a given exponent the fit is linear: a and -b are intercept and slope, unless a bound is active.
    """
    x = (images[None, :] / images.max()) ** -EXPONENTS[:, None]  # (E, K)
    centred = x - x.mean(1, keepdims=True)
    y = values - values.mean(1, keepdims=True)  # (R, K)
    b = -(y @ centred.T) / (centred**2).sum(1)  # (R, E)
    b = np.maximum(b, 0.0)
    a = values.mean(1, keepdims=True) + b * x.mean(1)
    above = a > 1
    through_one = ((1 - values) @ x.T) / (x**2).sum(1)
    a, b = np.where(above, 1.0, a), np.where(above, np.maximum(through_one, 0.0), b)
    residuals = values[:, None, :] - (a[:, :, None] - b[:, :, None] * x[None])
    best = (residuals**2).sum(2).argmin(1)
    rows = np.arange(len(values))
    c = EXPONENTS[best]
    return np.stack([a[rows, best], b[rows, best] * images.max() ** c, c], axis=1)


def _estimate(value: float, replicates: Floats, confidence: float) -> Estimate:
    """Percentile interval, which contains the estimate."""
    if not len(replicates):
        return Estimate(value, math.nan, math.nan)
    tail = (1 - confidence) / 2
    ordered = np.sort(replicates)
    low = float(ordered[math.floor(tail * (len(ordered) - 1))])
    high = float(ordered[math.ceil((1 - tail) * (len(ordered) - 1))])
    return Estimate(value, min(low, value), max(high, value))
