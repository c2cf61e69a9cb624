"""Kernels that find the objects which a detection overlaps, without computing the pairs that do not.

An object is a row of five numbers: x1, y1, x2, y2, area. Objects ``first:last`` are those of one image (and class).
Where they are many they are laid into a grid by their top left corner, and a detection looks only into the buckets
in which an object that overlaps it enough can begin. For an IoU of at least t with a detection of width w an object
can begin at most w (1/t - 1) to its left and w (1 - t) to its right; likewise with heights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.engine.compiling import kernel

FEW = 24
"""Up to this many objects, looking at each is faster than laying a grid."""

ROUGH = 1e-9
"""A side shorter than this part of the largest coordinate is too rough, in floating point, for the bounds above."""

SLACK = 1 - 1e-4
"""The bounds are taken for an IoU smaller by this factor: more than what rounding does to sides that are not rough."""

FRAME = 7
"""Numbers that describe a grid: x and y of its corner, buckets per pixel in x and y, how many columns (and rows),
the longest rough side, and how many objects are kept aside."""


@kernel
def overlap_ratio(
    x1: float, y1: float, x2: float, y2: float, area: float, box: NDArray[np.float64], crowd: bool
) -> float:
    """IoU of a detection with an object; where that is a crowd, the part of the detection that lies in it.

    The operations are those of the reference in their order, so that the result is the same to the last bit.
    """
    width = min(x2, box[2]) - max(x1, box[0])
    if width <= 0:
        return 0.0
    height = min(y2, box[3]) - max(y1, box[1])
    if height <= 0:
        return 0.0
    inter = width * height
    union = area if crowd else area + box[4] - inter
    return float(inter / union)


@kernel
def lay_grid(
    objects: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    first: int,
    last: int,
    frame: NDArray[np.float64],
    bucket_start: NDArray[np.int32],
    items: NDArray[np.int32],
    others: NDArray[np.int32],
) -> int:
    """Lay objects ``first:last`` into a grid of about as many buckets; crowds and rough boxes are kept aside.

    Args:
        frame: (FRAME,) becomes the description of the grid.
        bucket_start: (last - first + 2,) at least; becomes where the items of each bucket begin.
        items, others: (last - first,) at least; become the objects by bucket, and those kept aside.

    Returns:
        The number of buckets; 0 where the objects are few, and are all to be looked at.
    """
    frame[4] = 0
    if last - first <= FEW:
        return 0
    reach = 0.0
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    for index in range(first, last):
        box = objects[index]
        reach = max(reach, max(max(abs(box[0]), abs(box[1])), max(abs(box[2]), abs(box[3]))))
        left, right = min(left, box[0]), max(right, box[0])
        top, bottom = min(top, box[1]), max(bottom, box[1])
    side = int(np.sqrt(last - first))
    frame[0], frame[1] = left, top
    frame[2] = side / (right - left) if right > left else 0.0
    frame[3] = side / (bottom - top) if bottom > top else 0.0
    frame[4], frame[5] = side, reach * ROUGH
    # Counts go two places up, so that filling moves each start to where the next bucket expects it.
    bucket_start[: side * side + 2] = 0
    aside = 0
    for index in range(first, last):
        box = objects[index]
        if crowd[index] or min(box[2] - box[0], box[3] - box[1]) <= frame[5]:
            others[aside] = index
            aside += 1
        else:
            bucket_start[_bucket(frame, box[0], box[1]) + 2] += 1
    frame[6] = aside
    for bucket in range(side * side + 1):
        bucket_start[bucket + 1] += bucket_start[bucket]
    for index in range(first, last):
        box = objects[index]
        if not crowd[index] and min(box[2] - box[0], box[3] - box[1]) > frame[5]:
            place = _bucket(frame, box[0], box[1]) + 1
            items[bucket_start[place]] = index
            bucket_start[place] += 1
    return side * side


@kernel
def find_objects(
    box: NDArray[np.float64],
    least: float,
    objects: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    first: int,
    last: int,
    frame: NDArray[np.float64],
    bucket_start: NDArray[np.int32],
    items: NDArray[np.int32],
    others: NDArray[np.int32],
    near: NDArray[np.int32],
    near_iou: NDArray[np.float64],
) -> int:
    """The objects among ``first:last`` whose IoU with a detection is at least `least`, best first.

    Of equal ones the later comes first, as the reference prefers it.

    Args:
        box: (4,) xywh of the detection.
        least: above 0.
        frame, bucket_start, items, others: as `lay_grid` left them.
        near, near_iou: (last - first,) at least; become the objects and their IoU.

    Returns:
        How many were found.
    """
    x1, y1, width, height = box[0], box[1], box[2], box[3]
    x2, y2, area = width + x1, height + y1, width * height
    found = 0
    side = int(frame[4])
    if side == 0 or min(width, height) <= max(frame[5], ROUGH * max(abs(x1), abs(y1))):
        for index in range(first, last):
            iou = overlap_ratio(x1, y1, x2, y2, area, objects[index], crowd[index])
            if iou >= least:
                found = _insert(index, iou, near, near_iou, found)
        return found
    for place in range(int(frame[6])):
        index = others[place]
        iou = overlap_ratio(x1, y1, x2, y2, area, objects[index], crowd[index])
        if iou >= least:
            found = _insert(index, iou, near, near_iou, found)
    bound = min(least * SLACK, 1.0)
    before, after = 1 / bound - 1, 1 - bound
    left, right = (
        _column(x1 - before * width, frame[0], frame[2], side),
        _column(x1 + after * width, frame[0], frame[2], side),
    )
    top, bottom = (
        _column(y1 - before * height, frame[1], frame[3], side),
        _column(y1 + after * height, frame[1], frame[3], side),
    )
    for row in range(top, bottom + 1):
        # The buckets of a row lie side by side.
        for place in range(bucket_start[row * side + left], bucket_start[row * side + right + 1]):
            index = items[place]
            iou = overlap_ratio(x1, y1, x2, y2, area, objects[index], False)
            if iou >= least:
                found = _insert(index, iou, near, near_iou, found)
    return found


@kernel
def _column(at: float, origin: float, scale: float, side: int) -> int:
    """Which of `side` columns a coordinate falls into; rises with it, also in floating point."""
    return int(min(max((at - origin) * scale, 0.0), side - 1.0))


@kernel
def _bucket(frame: NDArray[np.float64], x: float, y: float) -> int:
    side = int(frame[4])
    return _column(y, frame[1], frame[3], side) * side + _column(x, frame[0], frame[2], side)


@kernel
def _insert(
    index: int, iou: float, near: NDArray[np.int32], near_iou: NDArray[np.float64], found: int
) -> int:
    """Put an object into its place among the `found` ones: falling IoU, then falling index."""
    place = found
    while place > 0 and (
        near_iou[place - 1] < iou or (near_iou[place - 1] == iou and near[place - 1] < index)
    ):
        near[place], near_iou[place] = near[place - 1], near_iou[place - 1]
        place -= 1
    near[place], near_iou[place] = index, iou
    return found + 1
