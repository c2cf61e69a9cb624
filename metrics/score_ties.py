"""What the evaluated detections leave open: equal scores, whose order decides AP, and detections beyond max_dets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.curves import RECALL_LEVELS
from metrics.iou import aligned_box_iou
from metrics.matching import Matches, MatchOutcome
from metrics.notes import Note
from metrics.plurals import agree, plural

_SMALLEST_RANGE = 0.0005
"""Range of AP, from low to high, below which ties are not mentioned: it changes no third digit."""

_ROUNDING = 1e-9
"""Slack of an IoU at a threshold, so that rounding cannot hide a competition."""

_MOST_PAIRS = 2_000_000
"""Pairs of tied detections and objects that are compared at once, which limits memory."""

Bools = NDArray[np.bool_]


class APRange(NamedTuple):
    """Lowest and highest AP over all orders of detections with equal scores.

    Attributes:
        low, high: bounds that no order exceeds; NaN without objects. They are reached unless tied detections of one image
            compete for an object, where they can be wider.
        tied: number of detections that share their score with another one of their class.
    """

    low: float
    high: float
    tied: int


def detection_notes(matches: Matches) -> list[Note]:
    """Notes on detections beyond max_dets, and on equal scores if their order matters to AP."""
    notes = []
    most = matches.rule.max_dets[-1]
    left_out = len(matches.detections) - len(matches.row)
    if left_out:
        counts = np.unique(_group(matches, np.arange(len(matches.detections))), return_counts=True)[1]
        images = int(np.count_nonzero(counts > most))
        largest = int(counts.max())
        text = (
            f"{left_out:,} of {plural(len(matches.detections), 'detection')} {agree(left_out, 'is', 'are')} beyond the {plural(most, 'highest-scoring one')} of their "
            f"image and class and {agree(left_out, 'does', 'do')} not count (in {plural(images, 'pair')} of image and class, with up to {plural(largest, 'detection')})"
        )
        notes.append(
            Note("cut_detections", text, values={"left_out": left_out, "groups": images, "largest": largest})
        )
    bounds = ap_range(matches)
    if bounds.high - bounds.low > _SMALLEST_RANGE:
        text = (
            f"{bounds.tied:,} of {plural(len(matches.detections), 'detection')} {agree(bounds.tied, 'shares its', 'share their')} score with another one of their class: "
            f"AP is between {bounds.low:.3f} and {bounds.high:.3f}, depending on their order"
        )
        notes.append(Note("score_ties", text, values=bounds._asdict()))
    return notes


def ap_range(matches: Matches) -> APRange:
    """Bounds of the mean AP over all orders of detections with equal scores; up to the largest max_dets, in the first area.

    Between images, AP is highest if true positives precede false positives of equal scores, and lowest in the reverse order.
    Within an image, the order of tied detections matters only if two of them reach the IoU threshold with the same object,
    or some are beyond max_dets. Then they and all lower scores of that image and class are uncertain: at best, the first of
    them are true positives, as many as there are objects left, and the others do not count; at worst, all are false positives.
    """
    score, start = matches.score, matches.start
    same = (score[1:] == score[:-1]) & (matches.label[1:] == matches.label[:-1])
    tied = np.append(same, False) | np.insert(same, 0, False) if len(score) else np.zeros(0, np.bool_)
    cut = _tied_at_cut(matches)
    defined = matches.positives[0] > 0
    if not defined.any():
        return APRange(np.nan, np.nan, int(tied.sum()))
    if not (tied.any() or cut.any()):
        value = float(np.nanmean(matches.curves().precision[..., 0]))
        return APRange(value, value, 0)
    contests = _contests(matches, tied)
    low, high = [], []
    for iou in matches.rule.iou_thresholds:
        outcome = matches.at(iou)
        uncertain = _uncertain(matches, np.where(cut, np.inf, contests) >= iou - _ROUNDING)
        best = _best_case(matches, outcome, uncertain)
        for k in np.flatnonzero(defined).tolist():
            rows = slice(start[k], start[k + 1])
            objects = int(matches.positives[0, k])
            worst_counts = uncertain[rows] | ~outcome.ignored[rows]
            low.append(
                _ap(score[rows], outcome.tp[rows] & ~uncertain[rows], worst_counts, objects, first=False)
            )
            best_counts = np.where(uncertain[rows], best[rows], ~outcome.ignored[rows])
            high.append(_ap(score[rows], best[rows], best_counts, objects, first=True))
    return APRange(float(np.mean(low)), float(np.mean(high)), int(tied.sum()))


def _group(matches: Matches, rows: NDArray[np.integer]) -> NDArray[np.int64]:
    """A number for the image and class of each row of the detections."""
    label = matches.detections.label[rows] if matches.rule.by_class else np.zeros(len(rows), np.int64)
    images = len(matches.truth.catalog.image_ids)
    numbers: NDArray[np.int64] = label.astype(np.int64) * images + matches.detections.image[rows]
    return numbers


def _tied_at_cut(matches: Matches) -> Bools:
    """(D,) whether detections of the same image, class and score are beyond max_dets."""
    left_out = np.ones(len(matches.detections), np.bool_)
    left_out[matches.row] = False
    rows = np.flatnonzero(left_out)
    if not len(rows):
        return np.zeros(len(matches.row), np.bool_)
    beyond = set(zip(_group(matches, rows).tolist(), matches.detections.score[rows].tolist(), strict=True))
    ranked = zip(_group(matches, matches.row).tolist(), matches.score.tolist(), strict=True)
    return np.fromiter((each in beyond for each in ranked), np.bool_, len(matches.row))


def _contests(matches: Matches, tied: Bools) -> NDArray[np.float64]:
    """(D,) highest IoU that a detection and another one of its image, class and score both reach with one object; 0 if none.

    With more than `_MOST_PAIRS` such detections and objects it is 1, the bound of all.
    """
    contests = np.zeros(len(matches.row))
    rows = np.flatnonzero(tied)
    if not len(rows):
        return contests
    group = _group(matches, matches.row[rows])
    order = np.argsort(group, kind="stable")  # by falling score within each group
    rows, group = rows[order], group[order]
    score = matches.score[rows]
    block = np.cumsum(np.r_[True, (group[1:] != group[:-1]) | (score[1:] != score[:-1])]) - 1
    several = (np.bincount(block) > 1)[block]
    rows, group, block = rows[several], group[several], np.unique(block[several], return_inverse=True)[1]
    objects, of_object = _objects_by_group(matches)
    first = np.searchsorted(of_object, group, side="left")
    counts = np.searchsorted(of_object, group, side="right") - first
    pairs_of_block = np.bincount(block, counts)
    many = pairs_of_block > _MOST_PAIRS
    of_block = np.where(many, 1.0, 0.0)
    part = np.cumsum(np.where(many, 0, pairs_of_block)) // _MOST_PAIRS
    for number in np.unique(part[~many]):
        own = np.flatnonzero(~many[block] & (part[block] == number))
        pairs, chosen = _pairs(first[own], counts[own])
        _contests_of_blocks(matches, rows[own][pairs], objects[chosen], block[own][pairs], of_block)
    contests[rows] = of_block[block]
    return contests


def _contests_of_blocks(
    matches: Matches,
    rows: NDArray[np.int64],
    objects: NDArray[np.int64],
    block: NDArray[np.int64],
    of_block: NDArray[np.float64],
) -> None:
    """Write the highest contested IoU of each block, from its detections with the objects that they could be matched with.

    Args:
        matches: of all detections.
        rows: (P,) index in ranked order of each pair's detection.
        objects: (P,) row of its object.
        block: (P,) index of its block: detections of one image, class and score.
        of_block: is raised where there is a contest.
    """
    overlap = aligned_box_iou(matches.detections.boxes[matches.row[rows]], matches.truth.boxes[objects])
    near = overlap >= matches.rule.iou_thresholds[0] - _ROUNDING
    objects, block, overlap = objects[near], block[near], overlap[near]
    order = np.lexsort((-overlap, objects, block))
    objects, block, overlap = objects[order], block[order], overlap[order]
    second = np.flatnonzero((objects[1:] == objects[:-1]) & (block[1:] == block[:-1])) + 1
    np.maximum.at(of_block, block[second], overlap[second])


def _objects_by_group(matches: Matches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the objects that are no crowds, by image and class, and the number of each one's image and class."""
    truth = matches.truth
    objects = np.flatnonzero(~truth.crowd)
    of_object = (matches.object_label.astype(np.int64) * len(truth.catalog.image_ids) + truth.image)[objects]
    order = np.argsort(of_object, kind="stable")
    return objects[order], of_object[order]


def _pairs(
    first: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each of N detections with each of its objects, ``first : first + counts``: indices of both."""
    pairs = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    return pairs, np.repeat(first, counts) + within


def _uncertain(matches: Matches, contested: Bools) -> Bools:
    """(D,) whether a detection is contested, or of a lower score than a contested one of its image and class."""
    group = _group(matches, matches.row)
    order = np.argsort(group, kind="stable")  # ranked within each group
    so_far = np.cumsum(contested[order])
    new = np.r_[True, group[order][1:] != group[order][:-1]] if len(order) else np.zeros(0, np.bool_)
    before: NDArray[np.int64] = np.repeat(
        (so_far - contested[order])[new], np.diff(np.r_[np.flatnonzero(new), len(order)])
    )
    uncertain = np.empty(len(order), np.bool_)
    uncertain[order] = so_far > before
    return uncertain


def _best_case(matches: Matches, outcome: MatchOutcome, uncertain: Bools) -> Bools:
    """(D,) true positives if the first uncertain detections of each image and class match all objects that are left."""
    best = outcome.tp & ~uncertain
    rows = np.flatnonzero(uncertain)
    if not len(rows):
        return best
    group = _group(matches, matches.row)
    truth, images = matches.truth, len(matches.truth.catalog.image_ids)
    of_object = matches.object_label.astype(np.int64) * images + truth.image
    total = np.bincount(of_object[outcome.valid], minlength=images * len(matches.classes))
    found = np.bincount(group[best], minlength=len(total))
    left = total - found
    order = rows[np.argsort(group[rows], kind="stable")]
    new = np.r_[True, group[order][1:] != group[order][:-1]]
    rank = np.arange(len(order)) - np.repeat(
        np.flatnonzero(new), np.diff(np.r_[np.flatnonzero(new), len(order)])
    )
    best[order] = rank < left[group[order]]
    return best


def _ap(score: NDArray[np.float64], tp: Bools, counts: Bools, objects: int, first: bool) -> float:
    """AP at 101 recall levels, with true positives `first` or last among equal scores.

    Args:
        score: (N,) falling.
        tp: (N,) true positives, all of which count.
        counts: (N,) true and false positives.
        objects: valid objects.
        first: whether true positives come first.
    """
    score, tp = score[counts], tp[counts]
    block = np.cumsum(np.append(True, score[1:] != score[:-1])[: len(score)])
    order = np.argsort(2 * block + (~tp if first else tp), kind="stable")
    hits = np.cumsum(tp[order])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(hits / objects, RECALL_LEVELS, side="left")].mean())
