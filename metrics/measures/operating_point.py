"""Precision, recall and F1 at a score, and the score that is best: exact curves over all scores."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches, MatchOutcome
from metrics.measures import Value, iou_text, measure


class ScoreCurve(NamedTuple):
    """What is found when detections below a score are dropped: one point for each score that occurs.

    Between two points nothing changes, and detections of equal score stand or fall together.

    Attributes:
        score: (S,) falling.
        tp: (S,) int64 true positives at this score or above.
        fp: (S,) int64 false positives.
        positives: objects that are asked for.
    """

    score: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """(S,) true / (true + false); NaN where all so far is ignored."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(S,) true / positives; NaN where nothing is asked for."""
        return _ratio(self.tp, np.full(len(self.tp), self.positives))

    def f(self, beta: float = 1.0) -> NDArray[np.float64]:
        """(S,) weighted harmonic mean of precision and recall; NaN where nothing is asked for.

        Written with counts, so that it is 0 and not NaN where nothing true was found.

        Args:
            beta: how many times recall weighs as much as precision.
        """
        if self.positives == 0:
            return np.full(len(self.tp), math.nan)
        square = beta * beta
        return _ratio((1 + square) * self.tp, self.tp + self.fp + square * self.positives)

    def best(self, beta: float = 1.0) -> tuple[float, float]:
        """The score at which F is highest, and that F; the highest such score, and NaN, NaN where there is none.

        Args:
            beta: see `f`.
        """
        values = self.f(beta)
        if not len(values) or np.isnan(values).all():
            return math.nan, math.nan
        index = int(np.nanargmax(values))
        return float(self.score[index]), float(values[index])

    def at(self, score: float) -> tuple[int, int]:
        """True and false positives when detections below `score` are dropped.

        Args:
            score: any number; a detection of exactly this score is kept.
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
    """Precision, recall and F1 of the detections at a score or above, and the score at which F1 is best.

    ``precision``, ``recall`` and ``f1`` pool the detections of all classes; ``best_score`` is where ``best_f1`` is
    reached, the higher of several such. A best score chosen on the data that it is judged on flatters: choose it on
    the validation split. With another `beta` the names are ``f2``, ``f0_5`` and so on.

    Args:
        matches: detections and what they found.
        score: detections below it are dropped; one of exactly this score is kept.
        iou: one of the rule's thresholds; the first by default.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.
        beta: how many times recall weighs as much as precision in F.

    Returns:
        NaN for precision where nothing is kept that counts, for recall and F where nothing is asked for.
    """
    if not (beta > 0 and math.isfinite(beta)):
        raise InputError(f"beta: expected a number above 0, got {beta}")
    threshold = matches.rule.iou_thresholds[0] if iou is None else iou
    where = area or matches.rule.areas[0]
    outcome = matches.at(threshold, where, max_dets)
    place = (where, iou_text([threshold]), matches.rule.max_dets_or_largest(max_dets))
    f_name = f"f{beta:g}".replace(".", "_")
    values = []
    for label, name in [(None, ""), *enumerate(matches.classes)]:
        curve = score_curve(outcome, label)
        true, false = curve.at(score)
        best_score, best_f = curve.best(beta)
        f = math.nan
        if curve.positives:
            f = (1 + beta**2) * true / (true + false + beta**2 * curve.positives)
        values += [
            Value("precision", true / (true + false) if true + false else math.nan, name, *place),
            Value("recall", true / curve.positives if curve.positives else math.nan, name, *place),
            Value(f_name, f, name, *place),
            Value(f"best_{f_name}", best_f, name, *place),
            Value("best_score", best_score, name, *place, better="neither"),
        ]
    return values


def score_curve(outcome: MatchOutcome, label: int | None = None) -> ScoreCurve:
    """Counts at every score that occurs, of a class or of all classes pooled.

    Args:
        outcome: of `Matches.at`.
        label: class index; by default all classes.

    Returns:
        No points where there are no detections that count.
    """
    part = slice(None) if label is None else slice(outcome.start[label], outcome.start[label + 1])
    counts = ~outcome.ignored[part]
    score, true = outcome.score[part][counts], outcome.tp[part][counts]
    if label is None:  # a class's part of the walk falls already
        order = np.argsort(-score, kind="stable")
        score, true = score[order], true[order]
    last_of_tie = np.flatnonzero(np.append(score[1:] != score[:-1], len(score) > 0))
    found = np.cumsum(true, dtype=np.int64)[last_of_tie]
    positives = outcome.positives.sum() if label is None else outcome.positives[label]
    return ScoreCurve(score[last_of_tie], found, last_of_tie + 1 - found, int(positives))


def _ratio(above: NDArray[np.generic], below: NDArray[np.generic]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(above / below, np.float64)  # type: ignore[operator]
