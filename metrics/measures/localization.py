"""Single-object localization: for images with one object, whether the best detection has its box and class."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import neighbours
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure

ANY_OVERLAP = 1e-300
"""IoU threshold that every pair of overlapping boxes reaches."""


class SingleObjects(NamedTuple):
    """The object and the highest-scoring detection of each image with exactly one valid object.

    Attributes:
        object: (I,) int32 row of the object.
        row: (I,) int32 row of the detection; -1 if the image has none.
        iou: (I,) IoU of the two, regardless of class; 0 without a detection.
        correct: (I,) whether the detection has the object's class.
    """

    object: NDArray[np.int32]
    row: NDArray[np.int32]
    iou: NDArray[np.float64]
    correct: NDArray[np.bool_]


@measure(
    "localization",
    better="higher",
    source="Russakovsky et al. 2015 (arXiv:1409.0575), section 4.2, with one guess",
)
def localization(matches: Matches, iou: float | None = None, area: str | None = None) -> list[Value]:
    """Accuracy of box and class of the best detection in images with exactly one object.

    In each image with exactly one valid object the highest-scoring detection of any class counts (the first of equal
    scores); an image without detections counts as wrong, with IoU 0. ``loc_iou`` is the mean IoU, ``loc_iou_accuracy`` the
    share with an IoU at or above the threshold, ``loc_class_accuracy`` the share with the correct class, ``loc_accuracy``
    the share with both, and ``loc_images`` the number of images. A class has the images with an object of it.

    Args:
        matches: the matched detections; only the tables are used, and max_dets has no effect.
        iou: any threshold in [0, 1]; by default the rule's first.
        area: one of the rule's area ranges, by default the first; only objects in it are valid.

    Returns:
        NaN if no image has exactly one valid object.
    """
    iou = matches.rule.iou_thresholds[0] if iou is None else iou
    area = area or matches.rule.areas[0]
    single = single_objects(matches, area)
    reached = single.iou >= min(iou, 1 - 1e-10)
    label = matches.object_label[single.object]
    columns = {
        "loc_iou": (single.iou, ""),
        "loc_iou_accuracy": (reached & (single.row >= 0), iou_text([iou])),
        "loc_class_accuracy": (single.correct, ""),
        "loc_accuracy": (reached & single.correct, iou_text([iou])),
    }
    values = []
    parts = [
        ("", np.ones(len(label), np.bool_)),
        *((name, label == k) for k, name in enumerate(matches.classes)),
    ]
    for class_name, chosen in parts:
        for name, (column, text) in columns.items():
            mean = float(column[chosen].mean()) if chosen.any() else math.nan
            values.append(Value(name, mean, class_name, area, text))
        values.append(Value("loc_images", float(chosen.sum()), class_name, area, better="neither"))
    return values


def single_objects(matches: Matches, area: str | None = None) -> SingleObjects:
    """Return the object and the highest-scoring detection of each image with exactly one valid object.

    Args:
        matches: the matched detections; only the tables are used.
        area: one of the rule's area ranges, by default the first.
    """
    truth, detections = matches.truth, matches.detections
    images = len(truth.catalog.image_ids)
    index = matches.rule.area_index(area or matches.rule.areas[0])
    valid = matches.valid >> index & 1 == 1
    single = valid & (np.bincount(truth.image[valid], minlength=images) == 1)[truth.image]
    objects = np.flatnonzero(single).astype(np.int32)

    order = np.lexsort((np.arange(len(detections)), -detections.score, detections.image))
    first = order[np.unique(detections.image[order], return_index=True)[1]].astype(np.int32)
    best = np.full(images, -1, np.int32)
    best[detections.image[first]] = first
    rows = best[truth.image[objects]]

    iou = np.zeros(len(detections) + 1)  # the last entry is for images without detections
    pairs = neighbours(truth, detections, single, rows[rows >= 0], ANY_OVERLAP)
    iou[pairs.row] = np.minimum(pairs.iou, 1.0)  # rounding can give an IoU above 1
    label = detections.label if matches.rule.by_class else np.zeros_like(detections.label)
    correct = np.append(label, -1)[rows] == matches.object_label[objects]
    return SingleObjects(objects, rows, iou[rows], correct)
