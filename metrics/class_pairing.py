"""Pairs of detections and objects of any class, one to one, as other programs form them for their confusion matrices."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import Neighbours, neighbours, take_in_turn
from metrics.matching import Matches

OnePass = Literal["ultralytics", "supervision", "yolov5"]


class Pairing(NamedTuple):
    """Valid objects (a mask), detections that count (rows), and their pairs."""

    objects: NDArray[np.bool_]
    rows: NDArray[np.integer]
    pairs: Neighbours


def pair_in_one_pass(matches: Matches, score: float, iou: float, area: str, convention: OnePass) -> Pairing:
    """Pair as another program does."""
    detections, truth = matches.detections, matches.truth
    objects = matches.valid >> matches.rule.area_index(area) & 1 == 1
    kept = detections.score >= score if convention == "supervision" else detections.score > score
    rows = np.flatnonzero(kept)
    near = neighbours(truth, detections, objects, rows, max(iou, np.finfo(np.float64).tiny))
    near = near.select(near.iou > iou)
    if convention == "yolov5":
        near = _select_best(near, near.row)
        return Pairing(objects, rows, _select_best(near, near.object))
    if convention == "ultralytics":
        order = np.lexsort((near.object, -near.iou, near.row, -detections.score[near.row]))
    else:
        other = matches.object_label[near.object] != detection_labels(matches)[near.row]
        order = np.lexsort((near.row, near.object, -near.iou, other))
    return Pairing(objects, rows, take_once(matches, near.select(order)))


def _select_best(pairs: Neighbours, side: NDArray[np.int32]) -> Neighbours:
    """Select the pair with the highest IoU of each member of one side; ties in input order."""
    order = np.lexsort((pairs.object, pairs.row, -pairs.iou, side))
    return pairs.select(order[np.unique(side[order], return_index=True)[1]])


def take_once(matches: Matches, pairs: Neighbours) -> Neighbours:
    """Take pairs in order, each detection and each object once."""
    return pairs.select(take_in_turn(pairs.row, pairs.object, len(matches.detections), len(matches.truth)))


def detection_labels(matches: Matches) -> NDArray[np.int32]:
    """(N,) class in [0, K) of each detection of the table."""
    return matches.detections.label if matches.rule.by_class else np.zeros_like(matches.detections.label)
