"""KITTI's protocol for 2D object detection: average precision at 40 recall positions, for three difficulties."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import Neighbours, neighbours
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.measures import ClassColumn, Value, class_values, iou_text, overall_values
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable

POSITIONS = 41
"""Recall 0, 1 / 40 ... 1; the first does not count."""


class Difficulty(NamedTuple):
    """Which objects count.

    Attributes:
        height: in pixels; an object must be higher, a detection at least as high.
        occlusion: the highest level: 0 fully visible, 1 partly, 2 largely occluded.
        truncation: the largest part outside the image.
    """

    height: float
    occlusion: float
    truncation: float


DIFFICULTIES: Mapping[str, Difficulty] = {
    "easy": Difficulty(40, 0, 0.15),
    "moderate": Difficulty(25, 1, 0.3),
    "hard": Difficulty(25, 2, 0.5),
}

OVERLAPS: Mapping[str, float] = {"car": 0.7, "pedestrian": 0.5, "cyclist": 0.5}
"""The IoU that a detection must exceed, by class; other classes are not evaluated."""

NEIGHBOURS: Mapping[str, str] = {"car": "van", "pedestrian": "person_sitting"}
"""Classes whose objects are ignored, where a detection of a class overlaps them."""


def kitti_values(matches: Matches) -> list[Value]:
    """AP at 40 recall positions by difficulty and class; over all classes their mean, which KITTI does not publish."""
    truth, detections = matches.truth, matches.detections
    label_of = {name.lower(): label for label, name in enumerate(matches.classes)}
    columns = []
    for name, difficulty in DIFFICULTIES.items():
        by_class = np.full(len(matches.classes), math.nan)
        for class_name in OVERLAPS:
            if class_name in label_of:
                by_class[label_of[class_name]] = _average_precision(
                    _scene(truth, detections, label_of, class_name, difficulty)
                )
        columns.append(ClassColumn(f"ap40_{name}", by_class, name, iou_text(matches.rule.iou_thresholds), 0))
    evaluated = [name for name in matches.classes if name.lower() in OVERLAPS]
    return overall_values(columns) + [
        value for value in class_values(columns, matches.classes) if value.class_name in evaluated
    ]


def lacks_occlusion(truth: AnnotationTable) -> str:
    """That objects have no occlusion or truncation."""
    if {"occlusion", "truncation"} <= set(truth.object_columns):
        return ""
    return "has no occlusion and truncation, by which objects are easy, moderate or hard; use KITTI's label_2, or --protocol coco"


@protocol(
    "kitti",
    kitti_values,
    tuple(sorted(set(OVERLAPS.values()))),
    "Geiger et al. 2012, doi:10.1109/CVPR.2012.6248074; object development kit, evaluate_object.cpp of 2017 with the 40 positions of "
    "2019 (Simonelli et al. 2019, arXiv:1905.12365)",
    lacks=lacks_occlusion,
)
def match_as_kitti(truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds) -> Matches:
    """KITTI's AP of cars, pedestrians and cyclists at 40 recall positions: easy, moderate and hard.

    An object counts if it is higher than the difficulty's height and not more occluded or truncated. Objects of the class that
    do not count, and those of its neighbour (vans, sitting persons), are ignored: a detection that is assigned to one counts
    neither as true nor as false, and neither does one that is too low, or that lies in a ``DontCare`` region by more than
    the class's overlap, as a part of the detection. An IoU must exceed .7 for cars, .5 for the others.

    The kit assigns detections to objects, not the reverse: each object, in the order of the file, takes the free detection of
    the highest IoU, and one that is too low only where there is no other. It does so again at each of up to 41 score
    thresholds, those at which the recall of a first assignment (each object takes the free detection of the highest score)
    is nearest to 0, 1 / 40 ... 1. Precision at a position is the highest there or beyond; AP is its mean over 1 / 40 ... 1.

    The matches are those of COCO's rule at KITTI's IoU thresholds, for curves and counts; the numbers do not use them.
    """
    return match(truth, detections, MatchRule(iou_thresholds=iou_thresholds))


@dataclass(frozen=True, eq=False)
class _Scene:
    """What one class is evaluated on at one difficulty.

    Attributes:
        pairs: detections and objects whose IoU exceeds the class's overlap, by object in the order of rows.
        valid: (G,) whether each object counts; others are ignored.
        positives: number of valid objects.
        score: (N,) of the detections.
        low: (N,) whether a detection is too low, and so is ignored.
        rows: the detections of the class that are not too low.
        stuff: (N,) whether a detection lies in a DontCare region.
    """

    pairs: Neighbours
    valid: NDArray[np.bool_]
    positives: int
    score: NDArray[np.float64]
    low: NDArray[np.bool_]
    rows: NDArray[np.intp]
    stuff: NDArray[np.bool_]


def _scene(
    truth: AnnotationTable,
    detections: DetectionTable,
    label_of: Mapping[str, int],
    class_name: str,
    difficulty: Difficulty,
) -> _Scene:
    label, overlap = label_of[class_name], OVERLAPS[class_name]
    own = (truth.label == label) & ~truth.crowd
    beside = (truth.label == label_of.get(NEIGHBOURS.get(class_name, ""), -1)) & ~truth.crowd
    columns = truth.object_columns
    valid = own & (truth.xywh[:, 3] > difficulty.height) & ~truth.ignored
    valid &= columns["occlusion"] <= difficulty.occlusion
    valid &= columns["truncation"] <= difficulty.truncation
    low = detections.xywh[:, 3] < difficulty.height  # of any class, as in the kit
    of_class = detections.label == label
    least = np.nextafter(overlap, 1)
    pairs = neighbours(truth, detections, own | beside, np.flatnonzero(of_class | low), least)
    rows = np.flatnonzero(of_class & ~low)
    regions = (truth.label == label) & truth.crowd
    stuff = np.zeros(len(detections), np.bool_)
    stuff[neighbours(truth, detections, regions, rows, least, crowd=truth.crowd).row] = True
    order = np.lexsort((pairs.row, pairs.object))
    return _Scene(pairs.select(order), valid, int(valid.sum()), detections.score, low, rows, stuff)


def _average_precision(scene: _Scene) -> float:
    """Mean of the best precision at recall 1 / 40 ... 1; NaN without objects that count."""
    if not scene.positives:
        return math.nan
    thresholds = _thresholds(_first_scores(scene), scene.positives)
    precision = np.zeros(POSITIONS)
    if thresholds:
        tp, fp = _counts(scene, np.array(thresholds))
        np.divide(tp, tp + fp, out=precision[: len(thresholds)], where=tp + fp > 0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[1:].mean())


def _by_object(scene: _Scene) -> list[tuple[int, list[tuple[int, float]]]]:
    """The candidates, row and IoU, of each object that has any, in the order of rows."""
    pairs = zip(
        *(column.tolist() for column in (scene.pairs.object, scene.pairs.row, scene.pairs.iou)), strict=True
    )
    return [
        (index, [(row, iou) for _, row, iou in group])
        for index, group in groupby(pairs, key=lambda pair: pair[0])
    ]


def _first_scores(scene: _Scene) -> list[float]:
    """Scores of true positives where each object takes the free detection of the highest score."""
    taken: set[int] = set()
    scores = []
    for index, candidates in _by_object(scene):
        free = [row for row, _ in candidates if row not in taken]
        if free:
            row = max(free, key=scene.score.__getitem__)  # of equal scores the first
            taken.add(row)
            if scene.valid[index] and not scene.low[row]:
                scores.append(float(scene.score[row]))
    return scores


def _thresholds(scores: list[float], positives: int) -> list[float]:
    """The scores at which recall is nearest to each position, falling."""
    scores = sorted(scores, reverse=True)
    chosen: list[float] = []
    current = 0.0
    for rank, score in enumerate(scores, 1):
        last = rank == len(scores)
        left, right = rank / positives, (rank if last else rank + 1) / positives
        if right - current < current - left and not last:
            continue
        chosen.append(score)
        current += 1 / (POSITIONS - 1)
    return chosen[:POSITIONS]


def _counts(scene: _Scene, thresholds: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and false positives at each of T score thresholds.

    One pass serves all thresholds, which are independent: bit t of a detection's word tells whether it reaches threshold t and
    is free there.
    """
    every = (1 << len(thresholds)) - 1
    # thresholds fall: a detection reaches all from the first that is not above its score
    first = np.searchsorted(-thresholds, -scene.score, side="left").tolist()
    free = [every >> index << index for index in first]
    true: list[int] = []
    for index, candidates in _by_object(scene):
        wanted = every
        # the highest IoU first, of equal ones the first; those that are too low at the end, in their order
        ordered = sorted(
            candidates, key=lambda pair: (scene.low[pair[0]], 0 if scene.low[pair[0]] else -pair[1])
        )
        for row, _ in ordered:
            taken = wanted & free[row]
            wanted &= ~taken
            free[row] &= ~taken
            if scene.valid[index] and not scene.low[row]:
                true.append(taken)
    false = [free[row] for row in scene.rows.tolist() if not scene.stuff[row]]
    return _count_bits(true, len(thresholds)), _count_bits(false, len(thresholds))


def _count_bits(words: list[int], bits: int) -> NDArray[np.int64]:
    """For each bit the number of words that have it."""
    column = np.array(words, np.uint64)
    return np.array([int(((column >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(bits)], np.int64)
