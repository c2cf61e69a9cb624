"""Precision, recall and F1 at a score threshold, and the threshold with the best F1, over all scores."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches, MatchOutcome
from metrics.measures import Value, iou_text, measure
from metrics.plurals import plural
from metrics.ratios import ratio


class ScoreCurve(NamedTuple):
    """True and false positives over the score threshold, one point per distinct score.

    Counts are constant between two points; detections with equal scores are kept or dropped together.

    Attributes:
        score: (S,) descending thresholds.
        tp: (S,) int64 true positives with this score or a higher one.
        fp: (S,) int64 false positives.
        positives: number of valid ground-truth objects.
    """

    score: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int

    def __repr__(self) -> str:
        return f"ScoreCurve({plural(len(self.score), 'score')}; {plural(self.positives, 'object')})"

    @property
    def precision(self) -> NDArray[np.float64]:
        """(S,) tp / (tp + fp); NaN where all detections so far are ignored."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(S,) tp / positives; NaN without valid ground truth."""
        return ratio(self.tp, np.full(len(self.tp), self.positives))

    def f(self, beta: float = 1.0) -> NDArray[np.float64]:
        """Return (S,) the weighted harmonic mean of precision and recall; NaN without valid ground truth.

        Computed from counts, so it is 0, not NaN, where there are no true positives.

        Args:
            beta: weight of recall relative to precision.
        """
        if self.positives == 0:
            return np.full(len(self.tp), math.nan)
        square = beta * beta
        return ratio((1 + square) * self.tp, self.tp + self.fp + square * self.positives)

    def best(self, beta: float = 1.0) -> tuple[float, float]:
        """Return the score threshold with the highest F, and that F; the highest such score, or NaN, NaN.

        Args:
            beta: see `f`.
        """
        values = self.f(beta)
        if not len(values) or np.isnan(values).all():
            return math.nan, math.nan
        index = int(np.nanargmax(values))
        return float(self.score[index]), float(values[index])

    def at(self, score: float) -> tuple[int, int]:
        """Return the numbers of true and false positives at a score threshold.

        Args:
            score: any number; detections with exactly this score are kept.
        """
        count = int(np.searchsorted(-self.score, -score, side="right"))
        return (int(self.tp[count - 1]), int(self.fp[count - 1])) if count else (0, 0)


@measure("operating_point", better="higher", source="van Rijsbergen 1979, Information Retrieval, chapter 7")
def operating_point(
    matches: Matches,
    score: float = 0.5,
    iou: float | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    beta: float = 1.0,
) -> list[Value]:
    """Precision, recall and F1 at a score threshold, and the score threshold with the best F1.

    ``precision``, ``recall`` and ``f1`` over all classes pool their detections; ``best_score`` is the highest threshold that
    reaches ``best_f1``. A threshold chosen on the evaluation data is optimistic: choose it on the validation split. With
    another `beta` the names are ``f2``, ``f0_5`` and so on.

    Args:
        matches: the matched detections.
        score: score threshold; detections with exactly this score are kept.
        iou: one of the rule's thresholds, by default the first.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.
        beta: weight of recall relative to precision in F.

    Returns:
        NaN for precision if no detection counts, and for recall and F without valid ground truth.

    Raises:
        InputError: `beta` is not a positive number, or the rule lacks the threshold, area range or max_dets.
    """
    if not (beta > 0 and math.isfinite(beta)):
        raise InputError(f"beta: expected a number above 0, got {beta}")
    iou = matches.rule.iou_thresholds[0] if iou is None else iou
    area = area or matches.rule.areas[0]
    outcome = matches.at(iou, area, max_dets)
    fields = (area, iou_text([iou]), matches.rule.max_dets_or_largest(max_dets))
    f_name = f"f{beta:g}".replace(".", "_")
    values = []
    for label, name in [(None, ""), *enumerate(matches.classes)]:
        curve = score_curve(outcome, label)
        tp, fp = curve.at(score)
        best_score, best_f = curve.best(beta)
        f = math.nan
        if curve.positives:
            f = (1 + beta**2) * tp / (tp + fp + beta**2 * curve.positives)
        values += [
            Value("precision", tp / (tp + fp) if tp + fp else math.nan, name, *fields),
            Value("recall", tp / curve.positives if curve.positives else math.nan, name, *fields),
            Value(f_name, f, name, *fields),
            Value(f"best_{f_name}", best_f, name, *fields),
            Value("best_score", best_score, name, *fields, better="neither"),
        ]
    return values


def score_curve(outcome: MatchOutcome, label: int | None = None) -> ScoreCurve:
    """Count true and false positives at every distinct score, for one class or pooled over all classes.

    Args:
        outcome: from `Matches.at`.
        label: class index; by default all classes.

    Returns:
        A curve without points if no detection counts.
    """
    part = slice(None) if label is None else slice(outcome.start[label], outcome.start[label + 1])
    counts = ~outcome.ignored[part]
    score, tp = outcome.score[part][counts], outcome.tp[part][counts]
    if label is None:  # within a class, detections are sorted already
        order = np.argsort(-score, kind="stable")
        score, tp = score[order], tp[order]
    last_of_tie = np.flatnonzero(np.append(score[1:] != score[:-1], len(score) > 0))
    tp_count = np.cumsum(tp, dtype=np.int64)[last_of_tie]
    positives = outcome.positives.sum() if label is None else outcome.positives[label]
    return ScoreCurve(score[last_of_tie], tp_count, last_of_tie + 1 - tp_count, int(positives))
