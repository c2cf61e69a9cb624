"""Matching, average precision and operating points by plain loops: slow, and independent of `metrics`.

For data without crowds and ignored objects, and with at most 100 detections per image and class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metrics.tables import AnnotationTable, DetectionTable

LEVELS = np.linspace(0, 1, 101).tolist()
"""COCO's recall levels as floats; a recall of 7 / 20 does not reach the level 0.35, which is larger by rounding."""

THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()
"""COCO's IoU thresholds as floats."""


@dataclass(frozen=True)
class Ranked:
    """Detections of one class, best first, and the number of its objects."""

    scores: list[float]
    hits: list[bool]
    objects: int


def ranked(
    truth: AnnotationTable,
    found: DetectionTable,
    label: int,
    iou: float,
    without: frozenset[int] = frozenset(),
) -> Ranked:
    """Match one class, image by image, without some images."""
    rows: list[tuple[float, bool]] = []
    objects = 0
    for image in range(len(truth.catalog.image_ids)):
        if image in without:
            continue
        here = [row for row in range(len(truth)) if truth.image[row] == image and truth.label[row] == label]
        objects += len(here)
        mine = [row for row in range(len(found)) if found.image[row] == image and found.label[row] == label]
        free = set(here)
        for row in sorted(mine, key=lambda row: -found.score[row]):
            best, chosen = min(iou, 1 - 1e-10), None
            for each in here:
                if each in free and (value := overlap(found.xywh[row], truth.xywh[each])) >= best:
                    best, chosen = value, each
            free.discard(chosen)  # type: ignore[arg-type]
            rows.append((float(found.score[row]), chosen is not None))
    rows.sort(key=lambda row: -row[0])
    return Ranked([score for score, _ in rows], [hit for _, hit in rows], objects)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two xywh boxes."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(wide, 0.0) * max(high, 0.0)
    return float(inside / (a[2] * a[3] + b[2] * b[3] - inside))


def envelope(of: Ranked) -> list[float]:
    """Highest precision at each of 101 recall levels or above; 0 where the level is not reached."""
    points, tp = [], 0
    for count, hit in enumerate(of.hits, 1):
        tp += hit
        points.append((tp / of.objects, tp / count))
    return [
        max([precision for recall, precision in points if recall >= level], default=0.0) for level in LEVELS
    ]


def class_ap(
    truth: AnnotationTable, found: DetectionTable, label: int, without: frozenset[int] = frozenset()
) -> float:
    """AP of one class, mean over IoU thresholds; NaN without objects."""
    values = []
    for iou in THRESHOLDS:
        of = ranked(truth, found, label, iou, without)
        values.append(float(np.mean(envelope(of))) if of.objects else math.nan)
    return float(np.mean(values))


def ap(truth: AnnotationTable, found: DetectionTable, without: frozenset[int] = frozenset()) -> float:
    """AP, mean over the classes with objects; NaN without any."""
    values = [class_ap(truth, found, label, without) for label in range(len(truth.catalog.classes))]
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def mean_envelope(truth: AnnotationTable, found: DetectionTable, iou: float) -> list[float]:
    """The envelope at one IoU threshold, mean over the classes with objects."""
    curves = [ranked(truth, found, label, iou) for label in range(len(truth.catalog.classes))]
    return np.mean([envelope(of) for of in curves if of.objects], axis=0).tolist()


def best_f1(truth: AnnotationTable, found: DetectionTable) -> tuple[float, float]:
    """The highest F1 over all score thresholds, all classes pooled, and the highest score that gives it; 0, NaN without hits."""
    pooled = [ranked(truth, found, label, 0.5) for label in range(len(truth.catalog.classes))]
    pairs = [pair for of in pooled for pair in zip(of.scores, of.hits, strict=True)]
    objects = sum(of.objects for of in pooled)
    best = (0.0, math.nan)
    for score in sorted({score for score, _ in pairs}, reverse=True):
        kept = [hit for value, hit in pairs if value >= score]
        f1 = 2 * sum(kept) / (len(kept) + objects)
        if f1 > best[0] + 1e-12:
            best = (f1, score)
    return best
