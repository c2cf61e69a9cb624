"""Matching of the detections of one image and class, from any matrix of overlaps.

`metrics.matching` matches whole data sets of boxes, and much faster. This serves subclasses of `COCOeval` that compute
overlaps in another way, and programs that call `computeIoU` and `evaluateImg` themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.greedy import NEARLY_ONE
from metrics.reference.annotations import boxes_of

ImageResult = dict[str, Any]
"""An entry of `COCOeval.evalImgs`, with the keys of pycocotools."""

ID_ZERO = float(np.finfo(np.float64).tiny)
"""How a match with the id 0 is recorded: positive, because 0 means no match, and 0 as an integer."""


class ImageCell(NamedTuple):
    """The annotations of one image and class, as in `_gts` and `_dts` of pycocotools.

    Attributes:
        image_id, category_id: -1 is the category where all classes are one.
        objects: G dicts with `id`, `bbox`, `area`, `iscrowd` and `ignore`.
        detections: D dicts with `id`, `bbox`, `area` and `score`.
    """

    image_id: Any
    category_id: Any
    objects: Sequence[dict[str, Any]]
    detections: Sequence[dict[str, Any]]

    def ranked(self, most: int) -> list[dict[str, Any]]:
        """At most `most` detections by falling score; ties keep their order."""
        order = np.argsort([-item["score"] for item in self.detections], kind="stable")
        return [self.detections[index] for index in order[:most]]


def box_overlaps(cell: ImageCell, most: int) -> Any:
    """IoU of the highest-scoring detections with the objects; for a crowd, the covered part of the detection.

    Args:
        cell: annotations of one image and class.
        most: maximum number of detections.

    Returns:
        (D, G), or an empty list where D or G is 0, as pycocotools.

    Raises:
        InputError: a box that does not have four numbers.
    """
    from pycocotools import mask

    if not cell.objects or not cell.detections:
        return []
    crowds = [int(item.get("iscrowd", 0)) for item in cell.objects]
    return mask.iou(boxes_of(cell.ranked(most)), boxes_of(cell.objects), crowds)


def match_cell(
    cell: ImageCell,
    overlaps: Any,
    thresholds: Sequence[float] | NDArray[np.float64],
    area_range: Sequence[float],
    most: int,
) -> ImageResult | None:
    """Match the detections of one image and class with its objects, by the greedy rule of pycocotools.

    Args:
        cell: annotations of one image and class.
        overlaps: (D, G) array or tensor with a row for each detection by falling score, at least `most`, and a column
            for each object; or an empty list.
        thresholds: T IoU thresholds.
        area_range: smallest and largest area of valid objects.
        most: maximum number of detections.

    Returns:
        The result, or None without objects and detections.

    Source: pycocotools 2.0.11, `COCOeval.evaluateImg`.
    """
    if not cell.objects and not cell.detections:
        return None
    smallest, largest = area_range
    ignored = [
        bool(item["ignore"] or item["area"] < smallest or item["area"] > largest) for item in cell.objects
    ]
    order = np.argsort(ignored, kind="stable")
    objects = [cell.objects[index] for index in order]
    ignored = [ignored[index] for index in order]
    detections = cell.ranked(most)
    matched = np.full((len(thresholds), len(detections)), -1)
    if len(overlaps):
        crowds = [bool(item.get("iscrowd", 0)) for item in objects]
        for row, threshold in zip(matched, thresholds, strict=True):
            row[:] = _match(
                overlaps[:, order], np.float64(min(threshold, NEARLY_ONE)), ignored, crowds, len(row)
            )
    outside = [item["area"] < smallest or item["area"] > largest for item in detections]
    object_ids = recorded_ids([item["id"] for item in objects])
    detection_ids = recorded_ids([item["id"] for item in detections])
    matched_by = np.zeros((len(thresholds), len(objects)))
    for by, row in zip(matched_by, matched, strict=True):  # of the detections on a crowd the last remains
        by[row[row >= 0]] = detection_ids[row >= 0]
    return {
        "image_id": cell.image_id,
        "category_id": cell.category_id,
        "aRng": area_range,
        "maxDet": most,
        "dtIds": [item["id"] for item in detections],
        "gtIds": [item["id"] for item in objects],
        "dtMatches": np.append(object_ids, 0.0)[matched],
        "gtMatches": matched_by,
        "dtScores": [item["score"] for item in detections],
        "gtIgnore": np.array(ignored, np.int64),
        "dtIgnore": np.where(matched >= 0, np.array([*ignored, False])[matched], np.array(outside, np.bool_)),
    }


def recorded_ids(ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) ids as `dtMatches` and `gtMatches` record them: as floats, none of them 0."""
    recorded = np.asarray(ids, np.float64).reshape(-1)
    return np.where(recorded == 0, ID_ZERO, recorded)


def _match(
    overlaps: Any, threshold: np.float64, ignored: Sequence[bool], crowds: Sequence[bool], count: int
) -> list[int]:
    """The object of each of `count` detections at one threshold; -1 for none."""
    # compared before the conversion, because an array and a tensor of single precision round thresholds differently
    reached = np.asarray(overlaps >= threshold)
    values = np.asarray(overlaps)
    candidates: list[list[int]] = [[] for _ in range(len(values))]
    for row, column in np.argwhere(reached).tolist():
        candidates[row].append(column)
    taken: set[int] = set()
    chosen = []
    for row in range(count):
        free = [column for column in candidates[row] if column not in taken]
        # valid objects before ignored ones, then the highest overlap, and of equal ones the last
        best = max(free, key=lambda column: (not ignored[column], values[row, column], column), default=-1)
        if best >= 0 and not crowds[best]:
            taken.add(best)
        chosen.append(best)
    return chosen
