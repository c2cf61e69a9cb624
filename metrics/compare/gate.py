"""Regression gate for continuous integration: whether a new model is worse than an old one by more than allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metrics.compare.comparison import Comparison
from metrics.compare.rows import ALL, Limit
from metrics.errors import InputError
from metrics.limits import MeasureLimit
from metrics.number_text import with_minus_sign
from metrics.plurals import agree
from metrics.registry import did_you_mean

GateState = Literal["passed", "regressed", "inconclusive"]
GateReason = Literal["", "undefined", "too_few", "interval_contains_limit"]


@dataclass(frozen=True, slots=True)
class GateResult:
    """Outcome of the gate for one pair of models and one limit. Numbers are percentage points; NaN where undefined or unknown.

    Attributes:
        limit: how much worse the new model may be.
        old: name of the old model.
        new: name of the new model.
        delta: value of the new model minus value of the old model.
        low, high: confidence interval of the difference.
        resolution: minimum detectable difference at 80% power.
        confidence: level of the interval.
        state: ``regressed`` where the whole interval is beyond the limit, ``passed`` where the whole interval is within it,
            otherwise ``inconclusive``.
        too_few: whether there are too few images, groups or objects for a decision.
        limited_by: whether more images or more seeds would make the interval narrower.
    """

    limit: MeasureLimit
    old: str
    new: str
    delta: float
    low: float
    high: float
    resolution: float
    confidence: float
    state: GateState
    too_few: bool = False
    limited_by: Limit = "images"

    @property
    def reason(self) -> GateReason:
        """Why the result is inconclusive; empty otherwise."""
        if self.state != "inconclusive":
            return ""
        if math.isnan(self.delta):
            return "undefined"
        return "too_few" if self.too_few else "interval_contains_limit"

    @property
    def explanation(self) -> str:
        """`reason` as a sentence, with a remedy; empty unless the result is inconclusive."""
        resolves = (
            ""
            if math.isnan(self.resolution)
            else f" resolves differences of {self.resolution:.2f} points, but"
        )
        return {
            "": "",
            "undefined": f"{self.limit} is not defined on these images; use another measure",
            "too_few": (
                f"{self.limit}: too few images, groups or objects to decide whether {self.new} is worse than {self.old}; use"
                " more"
            ),
            "interval_contains_limit": (
                f"{self.limit}: this test set{resolves} cannot show whether {self.new} is more than {self.limit.points:g} {agree(self.limit.points, 'point')}"
                f" worse than {self.old}; use more {self.limited_by}, or a larger limit"
            ),
        }[self.reason]

    def __str__(self) -> str:
        """One line: measure, models, difference with interval, limit and outcome."""
        delta = "not defined" if math.isnan(self.delta) else with_minus_sign(f"{self.delta:+.2f}")
        interval = "" if math.isnan(self.low) else f" [{self._end(self.low)}, {self._end(self.high)}]"
        state = self.state.upper() if self.state == "regressed" else self.state
        return f"{self.limit}: {self.new} vs {self.old} {delta}{interval}, allowed loss {self.limit.points:g}: {state}"

    def _end(self, value: float) -> str:
        """End of the interval with two decimals, or as many more as keep it on its side of the limit."""
        limit = self.limit.points
        sides = value > limit, value < -limit
        rounded = {digits: round(value, digits) for digits in range(2, 8)}
        digits = next((n for n, end in rounded.items() if (end > limit, end < -limit) == sides), 7)
        return with_minus_sign(f"{value:+.{digits}f}")

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON types; None for NaN, and the class is empty for all classes."""
        return {
            "measure": self.limit.measure,
            "class": self.limit.class_name,
            "allowed_loss": self.limit.points,
            "old": self.old,
            "new": self.new,
            "delta": _null(self.delta),
            "interval": [_null(self.low), _null(self.high)],
            "confidence": self.confidence,
            "resolution": _null(self.resolution),
            "unit": "percentage points",
            "answer": self.state,
            "reason": self.reason,
        }

    def _repr_html_(self) -> str:
        """The line of `__str__`, for notebooks."""
        import html

        return f"<code>{html.escape(str(self))}</code>"


def apply_gate(
    comparison: Comparison, pairs: Sequence[tuple[str, str]], limits: Sequence[MeasureLimit]
) -> list[GateResult]:
    """Decide for each pair and limit whether the new model has regressed.

    Each measure is tested against its own confidence interval, so a new model that is worse by exactly the limit is called
    regressed with probability (1 - confidence) / 2 per measure. With too few images, groups or objects the result is
    inconclusive unless both models give identical detections.

    Args:
        comparison: of these models, with these measures.
        pairs: (old, new) names of models.
        limits: how much worse the new models may be.

    Raises:
        InputError: a limit's measure was not compared, its class has no objects, or the limit is negative.
    """
    return [_apply(comparison, old, new, limit) for old, new in pairs for limit in limits]


def gate_json(results: Sequence[GateResult]) -> str:
    """Return the results as a JSON document: ``{"passed": bool, "results": [...]}`` with `GateResult.as_dict` entries.

    ``passed`` is false only if a model has regressed.
    """
    passed = all(result.state != "regressed" for result in results)
    document = {"passed": passed, "results": [result.as_dict() for result in results]}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _apply(comparison: Comparison, old: str, new: str, limit: MeasureLimit) -> GateResult:
    if limit.number < 0:
        raise InputError(f"{limit}: expected a limit of at least 0, got {limit.number:g}")
    if limit.class_name:
        _check_class(comparison, limit)
    row = comparison.difference(old, new, limit.measure, limit.class_name or ALL)
    sign = -1.0 if row.model_a == old else 1.0
    delta = 100 * sign * row.delta
    low, high = sorted((100 * sign * row.ci_low, 100 * sign * row.ci_high))
    higher = comparison.standing(old, limit.measure).higher_is_better
    least_loss, greatest_loss = (-high, -low) if higher else (low, high)
    state: GateState = "inconclusive"
    if delta == 0 and not row.se > 0:
        state = "passed"
    elif not row.too_few and least_loss > limit.points:
        state = "regressed"
    elif not row.too_few and greatest_loss <= limit.points:
        state = "passed"
    return GateResult(
        limit=limit,
        old=old,
        new=new,
        delta=delta + 0.0,  # no minus zero
        low=low + 0.0,
        high=high + 0.0,
        resolution=100 * row.mdd,
        confidence=comparison.method.confidence,
        state=state,
        too_few=row.too_few,
        limited_by=row.limited_by,
    )


def _check_class(comparison: Comparison, limit: MeasureLimit) -> None:
    name = f"{limit.measure}:{limit.class_name}"
    if limit.measure != comparison.measure:
        raise InputError(f"{name}: single classes are compared by {comparison.measure} only")
    known = list(dict.fromkeys(row.class_name for row in comparison.class_values if row.objects))
    if limit.class_name not in known:
        near = did_you_mean(limit.class_name, known)
        raise InputError(f"{name}: no class {limit.class_name!r} with objects{near}")


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value
