"""Range test of the learning rate: the loss while the rate grows from step to step, and the rate that it suggests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.plurals import plural

Floats = NDArray[np.float64]

DIVERGED = 4.0
"""A test ends when the smoothed loss is this many times its lowest value."""

SMOOTHING = 0.9
"""Weight of the earlier losses in the running average."""

FEWEST = 10
"""First steps of a test, in which it neither ends for a high loss nor finds a rate."""


@dataclass(frozen=True, slots=True)
class RateRange:
    """Learning rates of a test, which grow by equal factors.

    Attributes:
        lowest: first learning rate.
        highest: last learning rate, unless the loss diverges before.
        steps: updates of the weights.

    Raises:
        InputError: the rates are not positive and increasing, or there are fewer than `FEWEST` steps.
    """

    lowest: float = 1e-6
    highest: float = 10.0
    steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf:
            raise InputError(
                f"learning rates from {self.lowest:g} to {self.highest:g}: expected 0 < lowest < highest; give others"
            )
        if self.steps < FEWEST:
            raise InputError(f"{plural(self.steps, 'step')}: a range test needs at least {FEWEST}; give more")

    def rates(self) -> list[float]:
        """Learning rate of each step."""
        rates: list[float] = np.geomspace(self.lowest, self.highest, self.steps).tolist()
        return rates


@dataclass(frozen=True, slots=True, eq=False)
class RangeTest:
    """Losses at growing learning rates.

    The losses are smoothed by an exponential running average, divided by the weight of the steps so far.

    Attributes:
        rate: (N,) learning rate of each step, increasing.
        loss: (N,) loss of each step before its update.
        smoothed: (N,) running average of `loss`.
        diverged: whether the test ended before the highest rate, because the loss was not finite or too high.
    """

    rate: Floats
    loss: Floats
    smoothed: Floats
    diverged: bool

    @property
    def lowest(self) -> float:
        """Rate at the lowest smoothed loss; NaN if it is in the first `FEWEST` steps, so that the loss never fell much."""
        best = int(self.smoothed.argmin()) if len(self.smoothed) else 0
        return float(self.rate[best]) if best >= FEWEST else math.nan

    @property
    def steepest(self) -> float:
        """Rate at which the smoothed loss falls fastest with the logarithm of the rate; NaN if `lowest` is.

        Neither the first `FEWEST` steps count nor those beyond the lowest loss.
        """
        if math.isnan(self.lowest):
            return math.nan
        end = int(self.smoothed.argmin()) + 1
        slope = np.gradient(self.smoothed[:end], np.log(self.rate[:end]))[FEWEST:]
        return float(self.rate[FEWEST + slope.argmin()])

    @property
    def suggestion(self) -> float:
        """`steepest` to two digits."""
        return float(f"{self.steepest:.2g}")


def run_range_test(
    step: Callable[[float], float], rates: Iterable[float], smoothing: float = SMOOTHING
) -> RangeTest:
    """Train with growing learning rates until the loss diverges (Smith 2017, arXiv:1506.01186, section 3.3).

    The rate grows exponentially and the loss is smoothed, as in fastai's ``lr_find`` (Howard and Gugger 2020,
    arXiv:2002.04688, section 4.2); a test ends when the smoothed loss is `DIVERGED` times its lowest value.

    Args:
        step: makes an update at a learning rate, and returns the loss before it; NaN or infinite ends the test.
        rates: of the steps, increasing.
        smoothing: weight of the earlier losses in the running average; 0 for the losses as they are.
    """
    tested: list[tuple[float, float, float]] = []
    average, weight, lowest, diverged = 0.0, 0.0, math.inf, False
    for rate in rates:
        loss = step(rate)
        if not math.isfinite(loss):
            diverged = True
            break
        average = smoothing * average + (1 - smoothing) * loss
        weight = smoothing * weight + (1 - smoothing)
        smoothed = average / weight
        tested.append((rate, loss, smoothed))
        lowest = min(lowest, smoothed)
        if len(tested) > FEWEST and smoothed > DIVERGED * lowest:
            diverged = True
            break
    table = np.array(tested, dtype=np.float64).reshape(-1, 3)
    return RangeTest(table[:, 0], table[:, 1], table[:, 2], diverged)
