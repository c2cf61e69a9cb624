"""Pairs of detections and objects of any class, one to one, by the conventions of confusion matrices."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import Neighbours, neighbours, take_in_turn
from metrics.matching import Matches
from metrics.measures.error_types import BACKGROUND, KINDS, classify_errors

OnePass = Literal["ultralytics", "supervision", "yolov5"]


class Pairing(NamedTuple):
    """Objects and detections of which each is in at most one pair.

    Attributes:
        objects: (G,) mask of the objects that are valid.
        rows: (D,) rows of the detections that count.
        pairs: of these objects and detections.
        kind: (N,) int8 by row of the detections, index into `KINDS` of each false positive; -1 for others, and for
            conventions without types of error.
    """

    objects: NDArray[np.bool_]
    rows: NDArray[np.integer]
    pairs: Neighbours
    kind: NDArray[np.int8]


def pair_in_two_passes(matches: Matches, score: float, iou: float, area: str) -> Pairing:
    """Pair within classes as COCO does, then classification errors with the objects that are left.

    Args:
        matches: the matched detections.
        score: score threshold; detections with exactly this score count.
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges.
    """
    errors = classify_errors(matches, iou, min(BACKGROUND, iou), area)
    outcome = errors.outcome
    counts = ~outcome.ignored & (outcome.score >= score)
    tp = counts & outcome.tp
    within = Neighbours(outcome.row[tp], outcome.object[tp], outcome.iou[tp])
    free = outcome.valid.copy()
    free[within.object] = False
    confused = outcome.row[counts & (errors.kind == KINDS.index("classification"))]
    near = neighbours(matches.truth, matches.detections, free, confused, min(iou, 1 - 1e-10))
    order = np.lexsort((near.object, near.row, -matches.detections.score[near.row], -near.iou))
    across = _take_once(matches, near.select(order))
    kind = np.full(len(matches.detections), -1, np.int8)
    kind[outcome.row] = errors.kind
    return Pairing(outcome.valid, outcome.row[counts], within.and_also(across), kind)


def pair_in_one_pass(matches: Matches, score: float, iou: float, area: str, convention: OnePass) -> Pairing:
    """Pair all detections of the table as another program does.

    Args:
        matches: the matched detections; only their tables and valid objects are used.
        score: score threshold, exclusive except for ``supervision``.
        iou: IoU threshold, exclusive.
        area: one of the rule's area ranges.
        convention: the program; see `metrics.measures.confusion.confusion_matrix`.
    """
    detections, truth = matches.detections, matches.truth
    objects = matches.valid >> matches.rule.area_index(area) & 1 == 1
    kept = detections.score >= score if convention == "supervision" else detections.score > score
    rows, no_kind = np.flatnonzero(kept), np.full(len(detections), -1, np.int8)
    near = neighbours(truth, detections, objects, rows, max(iou, np.finfo(np.float64).tiny))
    near = near.select(near.iou > iou)
    if convention == "yolov5":
        near = _select_best(near, near.row)
        return Pairing(objects, rows, _select_best(near, near.object), no_kind)
    if convention == "ultralytics":
        order = np.lexsort((near.object, -near.iou, near.row, -detections.score[near.row]))
    else:
        other = matches.object_label[near.object] != detection_labels(matches)[near.row]
        order = np.lexsort((near.row, near.object, -near.iou, other))
    return Pairing(objects, rows, _take_once(matches, near.select(order)), no_kind)


def _select_best(pairs: Neighbours, side: NDArray[np.int32]) -> Neighbours:
    """Select the pair with the highest IoU of each member of one side; ties in input order."""
    order = np.lexsort((pairs.object, pairs.row, -pairs.iou, side))
    return pairs.select(order[np.unique(side[order], return_index=True)[1]])


def _take_once(matches: Matches, pairs: Neighbours) -> Neighbours:
    """Take pairs in order, each detection and each object once."""
    return pairs.select(take_in_turn(pairs.row, pairs.object, len(matches.detections), len(matches.truth)))


def detection_labels(matches: Matches) -> NDArray[np.int32]:
    """(N,) class in [0, K) of each detection of the table."""
    return matches.detections.label if matches.rule.by_class else np.zeros_like(matches.detections.label)
