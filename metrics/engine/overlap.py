"""Kernels that find the objects that a detection overlaps, without computing the pairs that do not overlap.

Objects ``first:last`` are those of one image (and class). Where they are many they are sorted into a grid by their top
left corner, and a detection looks only into the buckets in which an object that overlaps it enough can begin: for an
IoU of at least t with a detection of width w, an object begins at most w (1/t - 1) to its left and w (1 - t) to its
right; heights work in the same way.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

FEW = 24
"""For up to this many objects, comparing all of them is faster than building a grid."""

ROUGH = 1e-9
"""A side shorter than this part of the largest coordinate is too imprecise, in floating point, for the bounds above."""

SLACK = 1 - 1e-4
"""The bounds are computed for an IoU smaller by this factor: more than the rounding of sides that are not rough."""

FRAME = 7
"""Numbers that describe a grid: x and y of its corner, buckets per pixel in x and y, number of columns (and rows),
longest rough side, and number of objects outside the grid."""


class BoxColumns(Protocol):
    """Columns of boxes: (N,) index of the image and (N, 4) xywh."""

    @property
    def image(self) -> NDArray[np.int32]: ...
    @property
    def xywh(self) -> NDArray[np.float64]: ...


class ObjectBoxes(NamedTuple):
    """Objects in the form that overlaps are computed in.

    Attributes:
        corners: (G, 5) float64 x1, y1, x2, y2, width * height.
        crowd: (G,) bool.
    """

    corners: NDArray[np.float64]
    crowd: NDArray[np.bool_]


class Grid(NamedTuple):
    """Objects of one image, sorted into buckets.

    Attributes:
        frame: (FRAME,) float64 description of the grid.
        bucket_start: int32, where the items of each bucket begin.
        items: int32, the objects by bucket.
        others: int32, the objects outside the grid: crowds and rough boxes.
    """

    frame: NDArray[np.float64]
    bucket_start: NDArray[np.int32]
    items: NDArray[np.int32]
    others: NDArray[np.int32]


class OverlapCandidates(NamedTuple):
    """The objects that a detection overlaps, highest IoU first.

    Attributes:
        object: int32, the objects.
        iou: float64.
    """

    object: NDArray[np.int32]
    iou: NDArray[np.float64]


def make_objects(xywh: NDArray[np.float64], crowd: NDArray[np.bool_]) -> ObjectBoxes:
    """Objects of (G, 4) boxes and (G,) flags."""
    x, y, width, height = xywh.T
    return ObjectBoxes(np.stack([x, y, width + x, height + y, width * height], axis=1), crowd)


def make_grid(size: int) -> Grid:
    """Memory for the grid of up to `size` objects."""
    return Grid(np.empty(FRAME), *(np.empty(count, np.int32) for count in (size + 2, size, size)))


def make_candidates(size: int) -> OverlapCandidates:
    """Memory for up to `size` candidates."""
    return OverlapCandidates(np.empty(size, np.int32), np.empty(size))


@kernel
def build_grid(objects: ObjectBoxes, first: int, last: int, grid: Grid) -> int:
    """Sort objects ``first:last`` into a grid of about as many buckets.

    Args:
        objects: of all images.
        first: index of the first object.
        last: index after the last object.
        grid: is overwritten; for at least ``last - first`` objects.

    Returns:
        Number of buckets; 0 where the objects are few, and all are to be compared.
    """
    frame, bucket_start = grid.frame, grid.bucket_start
    frame[4] = 0
    if last - first <= FEW:
        return 0
    extent = 0.0
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    for index in range(first, last):
        box = objects.corners[index]
        extent = max(extent, max(max(abs(box[0]), abs(box[1])), max(abs(box[2]), abs(box[3]))))
        left, right = min(left, box[0]), max(right, box[0])
        top, bottom = min(top, box[1]), max(bottom, box[1])
    side = int(np.sqrt(last - first))
    frame[0], frame[1] = left, top
    frame[2] = side / (right - left) if right > left else 0.0
    frame[3] = side / (bottom - top) if bottom > top else 0.0
    frame[4], frame[5] = side, extent * ROUGH
    # counts are stored two positions up, so that filling moves each start to its final value
    bucket_start[: side * side + 2] = 0
    outside = 0
    for index in range(first, last):
        box = objects.corners[index]
        if objects.crowd[index] or min(box[2] - box[0], box[3] - box[1]) <= frame[5]:
            grid.others[outside] = index
            outside += 1
        else:
            bucket_start[_bucket(frame, box[0], box[1]) + 2] += 1
    frame[6] = outside
    for bucket in range(side * side + 1):
        bucket_start[bucket + 1] += bucket_start[bucket]
    for index in range(first, last):
        box = objects.corners[index]
        if not objects.crowd[index] and min(box[2] - box[0], box[3] - box[1]) > frame[5]:
            bucket = _bucket(frame, box[0], box[1]) + 1
            grid.items[bucket_start[bucket]] = index
            bucket_start[bucket] += 1
    return side * side


@kernel
def find_candidates(
    box: NDArray[np.float64],
    min_iou: float,
    objects: ObjectBoxes,
    first: int,
    last: int,
    grid: Grid,
    candidates: OverlapCandidates,
) -> int:
    """Find the objects among ``first:last`` whose IoU with a detection is at least `min_iou`, highest IoU first.

    Of equal IoU the later object comes first, as in pycocotools.

    Args:
        box: (4,) xywh of the detection.
        min_iou: above 0.
        objects: of all images.
        first: index of the first object.
        last: index after the last object.
        grid: of `build_grid` for the same objects.
        candidates: is overwritten; for at least ``last - first`` objects.

    Returns:
        Number of candidates.
    """
    frame = grid.frame
    left, top, width, height = box[0], box[1], box[2], box[3]
    side = int(frame[4])
    count = 0
    if side == 0 or min(width, height) <= max(frame[5], ROUGH * max(abs(left), abs(top))):
        for index in range(first, last):
            count = _add_if_overlapping(box, min_iou, objects, index, candidates, count)
        return _sort_candidates(candidates, count)
    for position in range(int(frame[6])):
        count = _add_if_overlapping(box, min_iou, objects, grid.others[position], candidates, count)
    bound = min(min_iou * SLACK, 1.0)
    before, after = 1 / bound - 1, 1 - bound
    first_column = _column(left - before * width, frame[0], frame[2], side)
    last_column = _column(left + after * width, frame[0], frame[2], side)
    first_row = _column(top - before * height, frame[1], frame[3], side)
    last_row = _column(top + after * height, frame[1], frame[3], side)
    for row in range(first_row, last_row + 1):
        # the items of neighbouring buckets in a row are contiguous
        begin = grid.bucket_start[row * side + first_column]
        for position in range(begin, grid.bucket_start[row * side + last_column + 1]):
            count = _add_if_overlapping(box, min_iou, objects, grid.items[position], candidates, count)
    return _sort_candidates(candidates, count)


@kernel
def _add_if_overlapping(
    box: NDArray[np.float64],
    min_iou: float,
    objects: ObjectBoxes,
    index: int,
    candidates: OverlapCandidates,
    count: int,
) -> int:
    """Append an object to the `count` candidates if its IoU is at least `min_iou`; return the new count.

    The floating-point operations and their order are those of pycocotools, so that the result is equal to the last
    bit. With a crowd the IoU is the part of the detection that lies in it.
    """
    x1, y1, area = box[0], box[1], box[2] * box[3]
    corners = objects.corners
    width = min(box[2] + x1, corners[index, 2]) - max(x1, corners[index, 0])
    height = min(box[3] + y1, corners[index, 3]) - max(y1, corners[index, 1])
    inter = max(width, 0.0) * max(height, 0.0)
    union = area if objects.crowd[index] else area + corners[index, 4] - inter
    # one comparison that nearly always holds, and is predicted, before the exact ones and the division
    if inter < min_iou * SLACK * union:
        return count
    iou = inter / union
    if not (width > 0 and height > 0 and iou >= min_iou):
        return count
    candidates.object[count], candidates.iou[count] = index, iou
    return count + 1


@kernel
def _sort_candidates(candidates: OverlapCandidates, count: int) -> int:
    """Sort by falling IoU, then by falling index: Shell's sort, for there may be thousands."""
    objects, ious = candidates.object, candidates.iou
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for position in range(gap, count):
            index, iou = objects[position], ious[position]
            hole = position
            while hole >= gap and (
                ious[hole - gap] < iou or (ious[hole - gap] == iou and objects[hole - gap] < index)
            ):
                objects[hole], ious[hole] = objects[hole - gap], ious[hole - gap]
                hole -= gap
            objects[hole], ious[hole] = index, iou
        gap //= 3
    return count


@kernel
def _column(x: float, origin: float, scale: float, side: int) -> int:
    """The column of a grid of `side` columns that a coordinate falls into; monotonic, also in floating point."""
    return int(min(max((x - origin) * scale, 0.0), side - 1.0))


@kernel
def _bucket(frame: NDArray[np.float64], x: float, y: float) -> int:
    side = int(frame[4])
    return _column(y, frame[1], frame[3], side) * side + _column(x, frame[0], frame[2], side)
