"""Successive elimination: which models are worse than another one, with one error rate over all looks and models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from metrics.compare.estimates import SeededEstimate
from metrics.resampling.intervals import POWER

LOOKS = 5
"""Number of looks that share most of the error rate equally."""

RESERVED = 0.2
"""Share of the error rate that is left for the looks after the first ones."""

MOST = 100
"""Largest number of seeds, and of times as many images, that `requirement` considers."""


def look_level(error: float, number: int, first: int = LOOKS) -> float:
    """Error rate of a look: the `first` looks share 80% of `error` equally, the next ones 80% of the rest, and so on.

    The levels of any number of looks sum to less than `error`, so the probability of an error in any of them is at most `error`
    (Bonferroni), although looks depend on each other, because they use the same images. A level depends only on the number of the
    look and not on what was seen before, so that an experiment can be continued at any time.

    Args:
        error: error rate of all looks.
        number: of the look, from 1.
        first: number of looks that share most of the error rate.

    Source: Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials" (an error rate is spent over looks); a
    sum over looks and models as in Even-Dar, Mannor and Mansour 2006, "Action elimination and stopping conditions for the
    multi-armed bandit and reinforcement learning problems", section 3.
    """
    return error * (1 - RESERVED) * RESERVED ** ((number - 1) // first) / first


@dataclass(frozen=True, slots=True)
class PairTest:
    """The difference of two models at one look; NaN where the variance is unknown.

    Attributes:
        better, worse: names.
        delta: value of `better` minus value of `worse`, at least 0.
        low, high: confidence interval at the level of one pair.
        p_value: two-sided, of the hypothesis that both are equally good.
        se: standard error over images and seeds.
        images_se, seeds_se: its parts: ``se**2`` is the sum of their squares.
        dof: degrees of freedom.
    """

    better: str
    worse: str
    delta: float
    low: float
    high: float
    p_value: float
    se: float
    images_se: float
    seeds_se: float
    dof: float


def pair_tests(estimates: Mapping[str, SeededEstimate], level: float) -> list[PairTest]:
    """Compare all pairs of models by a measure of which higher values are better.

    Args:
        estimates: of each model, from the same resamples of the images.
        level: error rate of one pair.
    """
    tests = []
    for pair in combinations(estimates, 2):
        better, worse = sorted(pair, key=lambda name: -estimates[name].value)
        difference = estimates[better] - estimates[worse]
        interval, variance = difference.interval(1 - level), difference.variance
        known = interval.method != "none"
        tests.append(
            PairTest(
                better,
                worse,
                difference.value,
                interval.low,
                interval.high,
                interval.p_value if known else math.nan,
                interval.se,
                math.sqrt(variance.images) if known else math.nan,
                math.sqrt(variance.seeds) if known else math.nan,
                interval.dof,
            )
        )
    return tests


def eliminated(tests: Sequence[PairTest]) -> dict[str, PairTest]:
    """Return the models that are worse than another one, each with its clearest test.

    Args:
        tests: of all pairs, each at the level of the look divided by the number of other models that the experiment began with.
            Then the best model is eliminated in this look with a probability of at most half of the look's level.
    """
    found: dict[str, PairTest] = {}
    for test in tests:
        if test.low > 0 and (test.worse not in found or test.low > found[test.worse].low):
            found[test.worse] = test
    return found


@dataclass(frozen=True, slots=True)
class Requirement:
    """What would show a difference as large as the observed one with a power of 80%.

    Attributes:
        seeds: times as many seeds on the same images; infinite where no number up to `MOST` suffices.
        images: times as many images with the same number of seeds; infinite likewise.
        both: times as many images and seeds; infinite likewise.
    """

    seeds: float
    images: float
    both: float


def requirement(difference: SeededEstimate, level: float) -> Requirement:
    """How many times as many seeds or images would be needed to tell two models apart.

    Args:
        difference: of the models.
        level: error rate of the pair.

    Source: Bloom 1995, "Minimum detectable effects" (a difference of ``(t_(1 - level / 2) + t_power) * se`` is detected with that
    power).
    """
    return Requirement(
        _times(difference, level, images=False, seeds=True),
        _times(difference, level, images=True, seeds=False),
        _times(difference, level, images=True, seeds=True),
    )


def _times(difference: SeededEstimate, level: float, images: bool, seeds: bool) -> float:
    """Smallest multiple in steps of a quarter that suffices."""
    from scipy.special import stdtrit

    for quarters in range(4, 4 * MOST + 1):
        factor = quarters / 4
        variance = difference.variance_with(factor if images else 1, factor if seeds else 1)
        if not variance.dof > 0:
            return math.inf
        needed = float(stdtrit(variance.dof, 1 - level / 2) + stdtrit(variance.dof, POWER))
        if needed * math.sqrt(variance.total) <= abs(difference.value):
            return factor
    return math.inf
