"""Scale on which a bounded value is about normal, so that its intervals stay within the bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Bounds = tuple[float, float] | None
"""Least and greatest possible value; None for an unbounded one."""

UNIT: Bounds = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """The arcsine scale between two bounds; the identity without bounds.

    With ``u = (2 v - low - high) / (high - low)``, in [-1, 1], the scale is ``arcsin(u)``. For a share in [0, 1] this is
    ``2 arcsin(sqrt(v)) - pi / 2``, whose variance does not depend on the share in a binomial sample; a difference in
    [-1, 1] is nearly unchanged around 0. Unlike the logit it is finite at the bounds, which AP reaches on few images.

    Attributes:
        bounds: least and greatest value.

    Source: Anscombe 1948, "The transformation of Poisson, binomial and negative-binomial data", section 1.
    """

    bounds: Bounds = None

    def forward(self, values: ArrayLike) -> Floats:
        """Transform values; those beyond the bounds count as the bounds."""
        values = np.asarray(values, np.float64)
        if self.bounds is None:
            return values
        low, high = self.bounds
        return np.asarray(np.arcsin(np.clip((2 * values - low - high) / (high - low), -1, 1)))

    def inverse(self, scaled: ArrayLike) -> Floats:
        """Transform back; the bounds beyond the ends of the scale."""
        scaled = np.asarray(scaled, np.float64)
        if self.bounds is None:
            return scaled
        low, high = self.bounds
        sine = np.sin(np.clip(scaled, -np.pi / 2, np.pi / 2))
        return np.asarray((low + high + sine * (high - low)) / 2)

    @property
    def of_difference(self) -> Scale:
        """Scale of the difference of two values."""
        if self.bounds is None:
            return self
        low, high = self.bounds
        return Scale((low - high, high - low))
