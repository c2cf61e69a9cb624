"""Kernels that find the objects which a detection overlaps, without computing the pairs that do not.

An object is a row of five numbers: x1, y1, x2, y2, area. Objects ``first:last`` are those of one image (and class).
Where they are many they are laid into a grid by their top left corner, and a detection looks only into the buckets
in which an object that overlaps it enough can begin. For an IoU of at least t with a detection of width w an object
can begin at most w (1/t - 1) to its left and w (1 - t) to its right; likewise with heights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

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
        objects: (G, 5) x1, y1, x2, y2, area.
        crowd: (G,).
        first: the first object to lay.
        last: the one after the last.
        frame: (FRAME,) becomes the description of the grid.
        bucket_start: (last - first + 2,) at least; becomes where the items of each bucket begin.
        items: (last - first,) at least; becomes the objects by bucket.
        others: (last - first,) at least; becomes those kept aside.

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
        objects: (G, 5) x1, y1, x2, y2, area.
        crowd: (G,).
        first: the first object to look at.
        last: the one after the last.
        frame: as `lay_grid` left it.
        bucket_start: likewise.
        items: likewise.
        others: likewise.
        near: (last - first,) at least; becomes the objects.
        near_iou: (last - first,) at least; becomes their IoU.

    Returns:
        How many were found.
    """
    left, top, width, height = box[0], box[1], box[2], box[3]
    side = int(frame[4])
    found = 0
    if side == 0 or min(width, height) <= max(frame[5], ROUGH * max(abs(left), abs(top))):
        for index in range(first, last):
            found = _look(box, least, objects, crowd, index, near, near_iou, found)
        return _best_first(near, near_iou, found)
    for place in range(int(frame[6])):
        found = _look(box, least, objects, crowd, others[place], near, near_iou, found)
    bound = min(least * SLACK, 1.0)
    before, after = 1 / bound - 1, 1 - bound
    first_column = _column(left - before * width, frame[0], frame[2], side)
    last_column = _column(left + after * width, frame[0], frame[2], side)
    first_row = _column(top - before * height, frame[1], frame[3], side)
    last_row = _column(top + after * height, frame[1], frame[3], side)
    for row in range(first_row, last_row + 1):
        # The buckets of a row lie side by side, and so do their items.
        for place in range(
            bucket_start[row * side + first_column], bucket_start[row * side + last_column + 1]
        ):
            found = _look(box, least, objects, crowd, items[place], near, near_iou, found)
    return _best_first(near, near_iou, found)


@kernel
def _look(
    box: NDArray[np.float64],
    least: float,
    objects: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    index: int,
    near: NDArray[np.int32],
    near_iou: NDArray[np.float64],
    found: int,
) -> int:
    """Add an object to the `found` ones if its IoU is at least `least`.

    The operations on numbers are those of the reference in their order, so that the result is the same to the last
    bit. With a crowd the IoU is the part of the detection that lies in it.
    """
    x1, y1, area = box[0], box[1], box[2] * box[3]
    width = min(box[2] + x1, objects[index, 2]) - max(x1, objects[index, 0])
    height = min(box[3] + y1, objects[index, 3]) - max(y1, objects[index, 1])
    inter = max(width, 0.0) * max(height, 0.0)
    union = area if crowd[index] else area + objects[index, 4] - inter
    # One test that nearly always fails, and so is foreseen, before the exact ones and the division.
    if inter < least * SLACK * union:
        return found
    iou = inter / union
    if not (width > 0 and height > 0 and iou >= least):
        return found
    near[found], near_iou[found] = index, iou
    return found + 1


@kernel
def _best_first(near: NDArray[np.int32], near_iou: NDArray[np.float64], found: int) -> int:
    """Order the `found` objects by falling IoU, then by falling index: Shell's sort, for there may be thousands."""
    gap = 1
    while gap < found // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for place in range(gap, found):
            index, iou = near[place], near_iou[place]
            hole = place
            while hole >= gap and (
                near_iou[hole - gap] < iou or (near_iou[hole - gap] == iou and near[hole - gap] < index)
            ):
                near[hole], near_iou[hole] = near[hole - gap], near_iou[hole - gap]
                hole -= gap
            near[hole], near_iou[hole] = index, iou
        gap //= 3
    return found


@kernel
def _column(at: float, origin: float, scale: float, side: int) -> int:
    """Which of `side` columns a coordinate falls into; rises with it, also in floating point."""
    return int(min(max((at - origin) * scale, 0.0), side - 1.0))


@kernel
def _bucket(frame: NDArray[np.float64], x: float, y: float) -> int:
    side = int(frame[4])
    return _column(y, frame[1], frame[3], side) * side + _column(x, frame[0], frame[2], side)
