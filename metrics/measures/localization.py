"""One object in each image: is the one box right, and the class?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import neighbours
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure

ANY = 1e-300
"""An IoU that all boxes reach which overlap at all."""


class Localized(NamedTuple):
    """The one object of each image that has exactly one, and the surest detection there.

    Attributes:
        object: (I,) int32 row of the object in its table; one for each image that counts.
        row: (I,) int32 row of the detection; -1 where the image has none.
        iou: (I,) of the two, whatever their classes; 0 where there is no detection.
        right: (I,) whether the detection has the object's class.
    """

    object: NDArray[np.int32]
    row: NDArray[np.int32]
    iou: NDArray[np.float64]
    right: NDArray[np.bool_]


@measure(
    "localization",
    better="higher",
    source="Russakovsky et al. 2015 (arXiv:1409.0575), section 4.2, with one guess",
)
def localization(matches: Matches, iou: float | None = None, area: str | None = None) -> list[Value]:
    """Of images with one object, how many surest detections have its place, its class, and both.

    Of each image with exactly one object that is asked for, the one detection of the highest score is judged, of
    whatever class (of equal ones the first given); an image without a detection is judged wrong, with IoU 0.
    ``loc_iou`` is the mean IoU, ``loc_iou_accuracy`` the share of IoU at or above the threshold,
    ``loc_class_accuracy`` that of the right class, ``loc_accuracy`` that of both; ``loc_images`` says how many images
    there are. All is over images; for a class over the images with an object of it.

    Args:
        matches: detections and what they found; only their tables are read, and max_dets does not matter.
        iou: any threshold in [0, 1]; the rule's first where None.
        area: one of the rule's area ranges, the first where None: only objects asked for there count.

    Returns:
        NaN where no image has exactly one object.
    """
    threshold = matches.rule.iou_thresholds[0] if iou is None else iou
    where = area or matches.rule.areas[0]
    at = localized(matches, where)
    near = at.iou >= min(threshold, 1 - 1e-10)
    label = matches.object_label[at.object]
    columns = {
        "loc_iou": at.iou,
        "loc_iou_accuracy": near & (at.row >= 0),
        "loc_class_accuracy": at.right,
        "loc_accuracy": near & at.right,
    }
    values = []
    for class_name, chosen in [
        ("", np.ones(len(label), np.bool_)),
        *((name, label == k) for k, name in enumerate(matches.classes)),
    ]:
        for name, column in columns.items():
            mean = float(column[chosen].mean()) if chosen.any() else math.nan
            text = iou_text([threshold]) if name in ("loc_iou_accuracy", "loc_accuracy") else ""
            values.append(Value(name, mean, class_name, where, text))
        values.append(Value("loc_images", float(chosen.sum()), class_name, where, better="neither"))
    return values


def localized(matches: Matches, area: str | None = None) -> Localized:
    """The object and the surest detection of each image that has exactly one object.

    Args:
        matches: detections and what they found; only their tables are read.
        area: one of the rule's area ranges, the first where None: only objects asked for there count.
    """
    truth, found = matches.truth, matches.detections
    images = len(truth.catalog.image_ids)
    index = matches.rule.area_index(area or matches.rule.areas[0])
    asked = matches.valid >> index & 1 == 1
    single = asked & (np.bincount(truth.image[asked], minlength=images) == 1)[truth.image]
    objects = np.flatnonzero(single).astype(np.int32)

    order = np.lexsort((np.arange(len(found)), -found.score, found.image))
    first = order[np.unique(found.image[order], return_index=True)[1]].astype(np.int32)
    surest = np.full(images, -1, np.int32)
    surest[found.image[first]] = first
    rows = surest[truth.image[objects]]

    overlap = np.zeros(len(found) + 1)  # the last place stands for no detection
    pairs = neighbours(truth, found, single, rows[rows >= 0], ANY)
    overlap[pairs.row] = np.minimum(pairs.iou, 1.0)  # a rounding error above 1 is 1
    label = found.label if matches.rule.by_class else np.zeros_like(found.label)
    right = np.append(label, -1)[rows] == matches.object_label[objects]
    return Localized(objects, rows, overlap[rows], right)
