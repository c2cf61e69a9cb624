"""A gate for continuous integration: whether a new model is worse than an old one by more than is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metrics.compare.comparison import ALL, Comparison
from metrics.errors import InputError
from metrics.registry import did_you_mean

State = Literal["held", "regressed", "open"]


@dataclass(frozen=True, slots=True)
class Limit:
    """How much worse a new model may be.

    Attributes:
        measure: short name: ``ap50``.
        points: of 100, at least 0: ``0.5`` allows AP 34.1 to become 33.6.
        scope: ``all`` classes together, or one class.
    """

    measure: str
    points: float
    scope: str = ALL

    def __str__(self) -> str:
        return self.measure if self.scope == ALL else f"{self.measure} on {self.scope}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a gate says of one measure. Numbers are points of 100; NaN: not defined, or not known.

    Attributes:
        limit: what is allowed.
        old: name of the old model.
        new: name of the new one.
        delta: value of the new model less that of the old one.
        low, high: interval of the difference.
        resolves: the least difference that the images would show 4 times out of 5.
        confidence: of the interval.
        state: ``regressed`` where the whole interval is worse than the limit allows; ``held`` where the whole interval is
            within it; ``open`` where the data cannot tell.
        too_few: whether that is because there are too few images, groups or objects, whatever the interval.
    """

    limit: Limit
    old: str
    new: str
    delta: float
    low: float
    high: float
    resolves: float
    confidence: float
    state: State
    too_few: bool = False

    def __str__(self) -> str:
        """One line: the measure, who against whom, the difference with its interval, and what follows."""
        said = {
            "held": "held",
            "regressed": "REGRESSED",
            "open": "cannot tell",
        }[self.state]
        spread = "" if math.isnan(self.low) else f" [{self.low:+.2f}, {self.high:+.2f}]"
        delta = "not defined" if math.isnan(self.delta) else f"{self.delta:+.2f}"
        return (
            f"{self.limit}: {self.new} less {self.old} {delta}{spread}, "
            f"{self.limit.points:g} worse is allowed: {said}"
        )

    @property
    def why_open(self) -> str:
        """Why the data cannot tell, and what would help."""
        if math.isnan(self.delta):
            return f"{self.limit} is not defined on these images; gate another measure"
        if self.too_few:
            return (
                f"{self.limit}: too few images, groups or objects to say whether {self.new} is worse than {self.old}; use "
                "more of them"
            )
        resolves = (
            ""
            if math.isnan(self.resolves)
            else f" shows differences of {self.resolves:.2f} points or more, but"
        )
        return (
            f"{self.limit}: this test set{resolves} cannot say whether {self.new} is more than {self.limit.points:g} "
            f"points worse than {self.old}; use more images or seeds, or allow more"
        )


def parse_limit(text: str) -> Limit:
    """``ap=0.5`` or, for one class, ``ap:car=2``: a measure, and how many points of 100 it may lose.

    Raises:
        InputError: not of this form, or not a number of at least 0.
    """
    name, equals, number = text.rpartition("=")
    measure, colon, scope = name.partition(":")
    if not equals or not measure or (colon and not scope):
        raise InputError(
            f"{text!r}: expected a measure and the points of 100 that it may lose, as in ap=0.5, or ap:car=2 for one class"
        )
    try:
        points = float(number)
    except ValueError:
        points = math.nan
    if not 0 <= points < math.inf:
        raise InputError(f"{text!r}: expected a number of at least 0 after =, got {number!r}")
    return Limit(measure, points, scope if colon else ALL)


def rule_on(
    comparison: Comparison, pairs: Sequence[tuple[str, str]], limits: Sequence[Limit]
) -> list[Ruling]:
    """What the gate says of each pair and limit.

    Each measure is held against its own interval, so of a new model that is worse by exactly the limit, each has a chance
    of (1 - confidence) / 2 to be called regressed. Too few images, groups or objects cannot tell, unless both models
    found the very same.

    Args:
        comparison: of these models, with these measures.
        pairs: old and new model.
        limits: what is allowed.

    Raises:
        InputError: a limit's measure was not compared, or its class does not exist.
    """
    return [_rule_on(comparison, old, new, limit) for old, new in pairs for limit in limits]


def _rule_on(comparison: Comparison, old: str, new: str, limit: Limit) -> Ruling:
    if limit.scope != ALL:
        _check_scope(comparison, limit)
    row = comparison.difference(old, new, limit.measure, limit.scope)
    flip = -1.0 if row.model_a == old else 1.0
    delta = 100 * flip * row.delta
    low, high = sorted((100 * flip * row.ci_low, 100 * flip * row.ci_high))
    higher = comparison.standing(old, limit.measure).higher_is_better
    least, most = (-high, -low) if higher else (low, high)  # how much worse the new one is
    state: State = "open"
    if delta == 0 and not row.se > 0:
        state = "held"
    elif not row.too_few and least > limit.points:
        state = "regressed"
    elif not row.too_few and most <= limit.points:
        state = "held"
    confidence = comparison.method.confidence
    return Ruling(
        limit, old, new, delta + 0.0, low + 0.0, high + 0.0, 100 * row.mdd, confidence, state, row.too_few
    )


def _check_scope(comparison: Comparison, limit: Limit) -> None:
    if limit.measure != comparison.measure:
        raise InputError(
            f"{limit.measure}:{limit.scope}: of single classes only {comparison.measure} is measured"
        )
    known = list(dict.fromkeys(row.class_name for row in comparison.class_values if row.objects))
    if limit.scope not in known:
        raise InputError(
            f"{limit.measure}:{limit.scope}: no class {limit.scope!r} has an object{did_you_mean(limit.scope, known)}"
        )
