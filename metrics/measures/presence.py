"""Image-level classification: accuracy, sensitivity and specificity of the presence of each class.

For boxes there are no true negatives, because the places without object and detection cannot be counted. An image without
a class and without a detection of it is a true negative.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.measures import ClassColumn, Value, class_values, measure, overall_values
from metrics.ratios import ratio


class Presence(NamedTuple):
    """Number of images by presence of each class, in the ground truth and in the detections.

    Attributes:
        tp: (K,) images with an object of the class and a detection of it.
        fp: (K,) images with a detection but no object.
        fn: (K,) images with an object but no detection.
        tn: (K,) images with neither.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]


@measure("presence", better="higher", source="Fawcett 2006, An introduction to ROC analysis, section 2")
def presence(matches: Matches, score: float = 0.5, area: str | None = None) -> list[Value]:
    """Image-level accuracy, sensitivity and specificity of the presence of each class.

    ``image_accuracy`` is the share of images classified correctly, ``image_sensitivity`` that share among images with the
    class, and ``image_specificity`` among images without it. Values over all classes are means over the classes for which
    they are defined.

    Args:
        matches: the matched detections; their positions have no effect.
        score: score threshold; an image is predicted to contain a class if it has a detection of it at this score or above.
        area: one of the rule's area ranges, by default the first; objects outside it are ignored.

    Returns:
        NaN where there are no such images.
    """
    table = presence_table(matches, score, area)
    with_class, without = table.tp + table.fn, table.tn + table.fp
    area = area or matches.rule.areas[0]
    columns = [
        ClassColumn("image_accuracy", ratio(table.tp + table.tn, with_class + without), area),
        ClassColumn("image_sensitivity", ratio(table.tp, with_class), area),
        ClassColumn("image_specificity", ratio(table.tn, without), area),
    ]
    return overall_values(columns) + class_values(columns, matches.classes, class_by_class=True)


def presence_table(matches: Matches, score: float = 0.5, area: str | None = None) -> Presence:
    """Count the images with and without each class, in the ground truth and in the detections.

    An image is left out for a class if it contains only ignored objects of it (crowds, ignored ones, other areas).

    Args:
        matches: the matched detections.
        score: score threshold; see `presence`.
        area: one of the rule's area ranges, by default the first.
    """
    images, classes = len(matches.truth.catalog.image_ids), len(matches.classes)
    index = matches.rule.area_index(area or matches.rule.areas[0])
    valid = matches.valid >> index & 1 == 1
    cell = matches.truth.image.astype(np.int64) * classes + matches.object_label
    present = np.unique(cell[valid])
    left_out = np.setdiff1d(cell[~valid], present)
    kept = matches.score >= score
    predicted = np.unique(matches.image[kept].astype(np.int64) * classes + matches.label[kept])
    predicted = np.setdiff1d(predicted, left_out, assume_unique=True)
    both = np.intersect1d(present, predicted, assume_unique=True)
    with_class, detected, tp, unclear = (
        np.bincount(cells % classes if classes else cells, minlength=classes)
        for cells in (present, predicted, both, left_out)
    )
    fp = detected - tp
    return Presence(tp, fp, with_class - tp, images - unclear - with_class - fp)
