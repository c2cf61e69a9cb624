"""Localization recall precision (LRP): one error for misses, false positives and imprecise boxes, at the best score.

Average precision evaluates the ranking of detections; LRP evaluates them at a score threshold, and gives the threshold
with the lowest error for each class.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches, MatchOutcome
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure, overall_values
from metrics.plurals import plural
from metrics.ratios import mean_defined

SOURCE = "Oksuz et al. 2022, One metric to measure them all (TPAMI 44(12), arXiv:2011.10772)"


class LRP(NamedTuple):
    """LRP error of each class at a score threshold, and its components.

    Attributes:
        error: (K,) LRP in [0, 1]; lower is better. NaN for classes without valid ground truth.
        localization: (K,) mean of 1 - IoU over true positives, in [0, 1 - iou]; NaN without true positives.
        false_positives: (K,) 1 - precision; NaN without true positives.
        false_negatives: (K,) 1 - recall.
        score: (K,) score threshold; NaN where keeping no detection is best.
    """

    error: NDArray[np.float64]
    localization: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    false_negatives: NDArray[np.float64]
    score: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"LRP({plural(len(self.error), 'class')}; mean error {mean_defined(self.error):.4f})"


class LRPCurve(NamedTuple):
    """LRP error of one class over the score threshold, one point per distinct score.

    Attributes:
        score: (S,) descending thresholds.
        error: (S,) LRP; NaN without valid ground truth.
        localization: (S,) sum of 1 - IoU over the true positives.
        tp: (S,) int64 true positives.
        fp: (S,) int64 false positives.
        positives: number of valid ground-truth objects.
    """

    score: NDArray[np.float64]
    error: NDArray[np.float64]
    localization: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int

    def __repr__(self) -> str:
        return f"LRPCurve({plural(len(self.score), 'score')}; {plural(self.positives, 'object')})"


@measure("localization_recall_precision", better="lower", source=SOURCE)
def localization_recall_precision(
    matches: Matches, iou: float | None = None, max_dets: int | None = None
) -> list[Value]:
    """Optimal LRP: the error at each class's best score, with its components for boxes, false positives and misses.

    ``olrp`` is the mean over the classes with valid ground truth; ``olrp_localization``, ``olrp_false_positives`` and
    ``olrp_false_negatives`` are means of its components, ``olrp_<area>`` is the mean in each area range except the first.
    Single classes also have ``olrp_score``, the score threshold that reaches it; a threshold chosen on the evaluation data
    is optimistic, so choose it on the validation split.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds, below 1; by default the first (0.5 in the paper).
        max_dets: at most the rule's largest, which is the default.

    Returns:
        NaN without valid ground truth, and for localization and false positives without true positives.
    """
    iou = matches.rule.iou_thresholds[0] if iou is None else iou
    max_dets = matches.rule.max_dets_or_largest(max_dets)
    text = iou_text([iou])
    first, *others = matches.rule.areas
    best = optimal_lrp(matches, iou, first, max_dets)
    fields = (first, text, max_dets)
    parts = [
        ClassColumn("olrp", best.error, *fields),
        ClassColumn("olrp_localization", best.localization, *fields),
        ClassColumn("olrp_false_positives", best.false_positives, *fields),
        ClassColumn("olrp_false_negatives", best.false_negatives, *fields),
    ]
    score = ClassColumn("olrp_score", best.score, *fields, better="neither")
    by_area = [
        ClassColumn(f"olrp_{area}", optimal_lrp(matches, iou, area, max_dets).error, area, text, max_dets)
        for area in others
    ]
    columns = [*parts, score, *by_area]
    return overall_values(parts + by_area) + class_values(columns, matches.classes, class_by_class=True)


def optimal_lrp(
    matches: Matches, iou: float = 0.5, area: str | None = None, max_dets: int | None = None
) -> LRP:
    """Return the LRP of each class at the score threshold where it is lowest (oLRP).

    All distinct scores are tried. Detections with equal scores are kept or dropped together, because no threshold separates
    them; the authors' program tries every position of the sorted list, and is lower where it splits a tie favourably. Of
    several best scores the highest is returned. A class with objects but without true positives has LRP 1 at any score:
    its score and the components of true positives are NaN, and its false negatives 1.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds, below 1.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Raises:
        InputError: the rule does not have the threshold or area range, or the threshold is 1.
    """
    rows = []
    for curve in _curves(matches, iou, area, max_dets):
        hits = np.flatnonzero(curve.tp)
        index = int(hits[np.argmin(curve.error[hits])]) if len(hits) else -1
        rows.append(_at(curve, index, float(curve.score[index]) if len(hits) else math.nan))
    return _stack(rows)


def lrp_at(
    matches: Matches,
    score: float | NDArray[np.float64],
    iou: float = 0.5,
    area: str | None = None,
    max_dets: int | None = None,
) -> LRP:
    """Return the LRP of each class at a given score threshold, for instance one chosen on another split.

    Args:
        matches: the matched detections.
        score: one threshold, or (K,) one per class; NaN keeps no detections.
        iou: one of the rule's thresholds, below 1.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Raises:
        InputError: as `optimal_lrp`, or there is not one score per class.
    """
    classes = len(matches.classes)
    scores = np.broadcast_to(score, classes) if np.ndim(score) == 0 else np.asarray(score, np.float64)
    if scores.shape != (classes,):
        raise InputError(f"score: expected a number or shape ({classes},), one per class, got {scores.shape}")
    rows = []
    for curve, threshold in zip(_curves(matches, iou, area, max_dets), scores.tolist(), strict=True):
        rows.append(_at(curve, int(np.count_nonzero(curve.score >= threshold)) - 1, threshold))
    return _stack(rows)


def lrp_curve(
    matches: Matches, label: int, iou: float = 0.5, area: str | None = None, max_dets: int | None = None
) -> LRPCurve:
    """Return the LRP of one class at all distinct scores.

    Args:
        matches: the matched detections.
        label: class index.
        iou: one of the rule's thresholds, below 1.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Returns:
        A curve without points if no detection counts; errors are NaN without valid ground truth.

    Raises:
        InputError: as `optimal_lrp`, or there is no such class.
    """
    if not 0 <= label < len(matches.classes):
        raise InputError(f"label: expected a class index in [0, {len(matches.classes)}), got {label}")
    return _curve(_outcome(matches, iou, area, max_dets), label, iou)


def _outcome(matches: Matches, iou: float, area: str | None, max_dets: int | None) -> MatchOutcome:
    if iou >= 1:
        raise InputError("iou: LRP divides by 1 - iou; use a threshold below 1")
    return matches.at(iou, area or matches.rule.areas[0], max_dets)


def _curves(matches: Matches, iou: float, area: str | None, max_dets: int | None) -> list[LRPCurve]:
    """Curve of each class."""
    outcome = _outcome(matches, iou, area, max_dets)
    return [_curve(outcome, label, iou) for label in range(len(matches.classes))]


def _curve(outcome: MatchOutcome, label: int, iou: float) -> LRPCurve:
    part = slice(outcome.start[label], outcome.start[label + 1])
    counts = ~outcome.ignored[part]
    score, hit = outcome.score[part][counts], outcome.tp[part][counts]
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], len(score) > 0))
    tp = np.cumsum(hit, dtype=np.int64)[ends]
    fp = ends + 1 - tp
    # Rounding can give the IoU of a box with itself a value above 1.
    localization = np.cumsum(np.where(hit, np.maximum(1 - outcome.iou[part][counts], 0.0), 0.0))[ends]
    positives = outcome.positives[label]
    # tp + fp + fn is positives + fp, because every object is a true positive or a miss.
    error = (localization / (1 - iou) + fp + (positives - tp)) / (positives + fp if positives else math.nan)
    return LRPCurve(score[ends], error, localization, tp, fp, int(positives))


def _at(curve: LRPCurve, index: int, score: float) -> tuple[float, float, float, float, float]:
    """Error, components and score at a point of a curve; -1 for no detections."""
    if not curve.positives:
        return (math.nan,) * 5
    if index < 0:
        return 1.0, math.nan, math.nan, 1.0, score
    error, tp, fp = float(curve.error[index]), int(curve.tp[index]), int(curve.fp[index])
    if not tp:
        return error, math.nan, math.nan, 1.0, score
    return error, curve.localization[index] / tp, fp / (tp + fp), 1 - tp / curve.positives, score


def _stack(rows: list[tuple[float, float, float, float, float]]) -> LRP:
    return LRP(*np.array(rows, np.float64).reshape(-1, 5).T)
