"""Localization recall precision (LRP): one error for misses, false positives and loose boxes, at its best score.

Average precision asks how well detections are ranked; LRP asks how wrong they are once a score is chosen, and says
of each class which score is best and what is left to mend there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches, MatchOutcome
from metrics.measures import Value, iou_text, measure

SOURCE = "Oksuz et al. 2022, One metric to measure them all (TPAMI 44(12), arXiv:2011.10772)"


class LRP(NamedTuple):
    """The error of each class at one score per class, and what it is made of.

    Attributes:
        error: (K,) LRP in [0, 1]; lower is better. NaN where no object of the class is asked for.
        localization: (K,) mean of 1 - IoU over true positives, in [0, 1 - iou]; NaN without true positives.
        false_positives: (K,) 1 - precision; NaN without true positives.
        false_negatives: (K,) 1 - recall.
        score: (K,) at which (or above which) detections are kept; NaN where none is worth keeping.
    """

    error: NDArray[np.float64]
    localization: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    false_negatives: NDArray[np.float64]
    score: NDArray[np.float64]


class LRPCurve(NamedTuple):
    """LRP of one class when detections below a score are dropped: one point for each score that occurs.

    Attributes:
        score: (S,) falling.
        error: (S,) LRP.
        localization: (S,) sum of 1 - IoU over the true positives.
        tp: (S,) int64 true positives.
        fp: (S,) int64 false positives.
    """

    score: NDArray[np.float64]
    error: NDArray[np.float64]
    localization: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]


@measure("localization_recall_precision", better="lower", source=SOURCE)
def localization_recall_precision(
    matches: Matches, iou: float | None = None, max_dets: int | None = None
) -> list[Value]:
    """Optimal LRP: the error at each class's best score, with its parts for boxes, false positives and misses.

    ``olrp`` is the mean over the classes that have an object asked for; ``olrp_localization``,
    ``olrp_false_positives`` and ``olrp_false_negatives`` are means of its parts, ``olrp_<area>`` that of each area
    range but the first. For a single class there is also ``olrp_score``, the score at which it is reached: choose it
    on the validation split, for judged on the split on which it was chosen it flatters.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds, below 1; the first where None (the paper's is 0.5).
        max_dets: any number up to the rule's largest, which is the default.

    Returns:
        NaN where no object is asked for, and for localization and false positives where nothing was found.
    """
    threshold = matches.rule.iou_thresholds[0] if iou is None else iou
    most, text = matches.rule.max_dets_or_largest(max_dets), iou_text([threshold])
    first, *others = matches.rule.areas
    best = optimal_lrp(matches, threshold, first, most)
    parts = {
        "olrp": best.error,
        "olrp_localization": best.localization,
        "olrp_false_positives": best.false_positives,
        "olrp_false_negatives": best.false_negatives,
    }
    by_area = {area: optimal_lrp(matches, threshold, area, most).error for area in others}
    values = [Value(name, _mean(column), "", first, text, most) for name, column in parts.items()]
    values += [Value(f"olrp_{area}", _mean(column), "", area, text, most) for area, column in by_area.items()]
    for label, name in enumerate(matches.classes):
        for part, column in parts.items():
            values.append(Value(part, float(column[label]), name, first, text, most))
        values.append(Value("olrp_score", float(best.score[label]), name, first, text, most, "neither"))
        for area, column in by_area.items():
            values.append(Value(f"olrp_{area}", float(column[label]), name, area, text, most))
    return values


def optimal_lrp(
    matches: Matches, iou: float = 0.5, area: str | None = None, max_dets: int | None = None
) -> LRP:
    """LRP at the score where it is least, for each class (oLRP).

    All scores that occur are tried. Detections of equal score stand or fall together, for no threshold parts them;
    the authors' program tries every place in the sorted list, and is lower where a tie is parted luckily. Of several
    best scores the highest is given. Where a class has objects and no true positive, LRP is 1 at any score: the score
    and the parts of true positives are NaN, and all objects are missed.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds, below 1.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Raises:
        InputError: the rule does not have the threshold or range, or the threshold is 1: nothing is left to divide by.
    """
    outcome = _outcome(matches, iou, area, max_dets)
    nothing = (math.nan,) * 5
    rows = [nothing] * len(matches.classes)
    for label, positives in enumerate(outcome.positives.tolist()):
        if not positives:
            continue
        curve = _curve(outcome, label, iou)
        hits = np.flatnonzero(curve.tp)
        if not len(hits):
            rows[label] = (1.0, math.nan, math.nan, 1.0, math.nan)
            continue
        at = hits[np.argmin(curve.error[hits])]
        rows[label] = _parts(
            curve.error[at],
            curve.localization[at],
            curve.tp[at],
            curve.fp[at],
            positives,
            curve.score[at],
        )
    return LRP(*np.array(rows, np.float64).reshape(-1, 5).T)


def lrp_at(
    matches: Matches,
    score: float | NDArray[np.float64],
    iou: float = 0.5,
    area: str | None = None,
    max_dets: int | None = None,
) -> LRP:
    """LRP when detections below `score` are dropped: what a detector is worth at a score that was chosen elsewhere.

    Args:
        matches: detections and what they found.
        score: one for all classes, or (K,) one for each; where NaN, nothing is kept.
        iou: one of the rule's thresholds, below 1.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Raises:
        InputError: as `optimal_lrp`, or the scores are not one for each class.
    """
    scores = (
        np.broadcast_to(score, len(matches.classes)) if np.ndim(score) == 0 else np.asarray(score, np.float64)
    )
    if scores.shape != (len(matches.classes),):
        raise InputError(
            f"score: expected a number or shape ({len(matches.classes)},), one per class, got {scores.shape}"
        )
    outcome = _outcome(matches, iou, area, max_dets)
    rows = [(math.nan,) * 5] * len(scores)
    for label, positives in enumerate(outcome.positives.tolist()):
        if positives:
            curve = _curve(outcome, label, iou)
            at = int(np.count_nonzero(curve.score >= scores[label])) - 1
            rows[label] = (
                _parts(
                    curve.error[at],
                    curve.localization[at],
                    curve.tp[at],
                    curve.fp[at],
                    positives,
                    scores[label],
                )
                if at >= 0
                else (1.0, math.nan, math.nan, 1.0, float(scores[label]))
            )
    return LRP(*np.array(rows, np.float64).reshape(-1, 5).T)


def lrp_curve(
    matches: Matches, label: int, iou: float = 0.5, area: str | None = None, max_dets: int | None = None
) -> LRPCurve:
    """LRP of a class over all scores that occur: for figures.

    Args:
        matches: detections and what they found.
        label: class index.
        iou: one of the rule's thresholds, below 1.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Returns:
        No points where no detection counts; errors are NaN where no object is asked for.

    Raises:
        InputError: as `optimal_lrp`, or the label is no class.
    """
    if not 0 <= label < len(matches.classes):
        raise InputError(f"label: expected a class index in [0, {len(matches.classes)}), got {label}")
    return _curve(_outcome(matches, iou, area, max_dets), label, iou)


def _outcome(matches: Matches, iou: float, area: str | None, max_dets: int | None) -> MatchOutcome:
    if iou >= 1:
        raise InputError("iou: LRP divides by 1 - iou; use a threshold below 1")
    return matches.at(iou, area or matches.rule.areas[0], max_dets)


def _curve(outcome: MatchOutcome, label: int, iou: float) -> LRPCurve:
    part = slice(outcome.start[label], outcome.start[label + 1])
    counts = ~outcome.ignored[part]
    score, hit = outcome.score[part][counts], outcome.tp[part][counts]
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], len(score) > 0))
    true = np.cumsum(hit, dtype=np.int64)[ends]
    false = ends + 1 - true
    # The IoU of a box with itself can exceed 1 by a rounding error.
    localization = np.cumsum(np.where(hit, np.maximum(1 - outcome.iou[part][counts], 0.0), 0.0))[ends]
    positives = outcome.positives[label]
    # N_TP + N_FP + N_FN is positives + false, for every object is found or missed.
    error = (localization / (1 - iou) + false + (positives - true)) / (
        positives + false if positives else math.nan
    )
    return LRPCurve(score[ends], error, localization, true, false)


def _parts(
    error: float, localization: float, true: int, false: int, positives: int, score: float
) -> tuple[float, float, float, float, float]:
    if not true:
        return error, math.nan, math.nan, 1.0, score
    return error, localization / true, false / (true + false), 1 - true / positives, score


def _mean(column: NDArray[np.float64]) -> float:
    defined = column[~np.isnan(column)]
    return float(defined.mean()) if len(defined) else math.nan
