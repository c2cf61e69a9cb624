"""Overlapping pairs of a detection and an object of one image, whatever their classes: for confusion and error types.

Matching compares only pairs of one class. Here all classes of an image are compared, by the same kernels: the IoU of a
pair is that of matching, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.overlap import (
    BoxColumns,
    Grid,
    ObjectBoxes,
    OverlapCandidates,
    build_grid,
    find_candidates,
    make_candidates,
    make_grid,
    make_objects,
)
from metrics.kernels.compile_cache import kernel


class Neighbours(NamedTuple):
    """Pairs; those of a detection are contiguous, with the highest IoU first and of equal ones the later object.

    Attributes:
        row: (P,) int32 row of the detection in its table.
        object: (P,) int32 row of the object.
        iou: (P,) float64.
    """

    row: NDArray[np.int32]
    object: NDArray[np.int32]
    iou: NDArray[np.float64]

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Neighbours:
        """These pairs, by mask or by index."""
        return Neighbours._make(column[chosen] for column in self)

    def and_also(self, others: Neighbours) -> Neighbours:
        """These pairs, then the others."""
        return _joined([self, others])


def neighbours(
    truth: BoxColumns,
    detections: BoxColumns,
    objects: NDArray[np.bool_],
    rows: NDArray[np.integer],
    least: float,
    crowd: NDArray[np.bool_] | None = None,
) -> Neighbours:
    """Every pair of these detections and these objects of the same image whose IoU is at least `least`.

    Args:
        truth: the objects.
        detections: on the same images; or other objects.
        objects: (G,) mask of the objects to compare.
        rows: (D,) rows of the detections; no row twice.
        least: above 0.
        crowd: (G,) the objects whose IoU is replaced by the part of the detection that they cover, as in COCO; by default
            none.
    """
    chosen = np.flatnonzero(objects).astype(np.int32)
    images = 1 + max(int(truth.image[chosen].max(initial=-1)), int(detections.image[rows].max(initial=-1)))
    object_order, object_start = _by_image(truth.image, chosen, images)
    order, start = _by_image(detections.image, rows.astype(np.int32), images)
    covered = np.zeros(len(object_order), np.bool_) if crowd is None else crowd[object_order]
    boxes = make_objects(truth.xywh[object_order], covered)
    most = int(np.diff(object_start).max(initial=0))
    search = _Search(
        _ComparedDetections(start, order, np.ascontiguousarray(detections.xywh)),
        object_start,
        boxes,
        float(least),
        make_grid(most),
        make_candidates(most),
    )
    parts = [_make_pairs(0)]
    position, room = 0, 2 * len(chosen) + most
    while position < len(order):
        count, pairs = np.zeros(1, np.int64), _make_pairs(room)
        position = _find_pairs(position, search, pairs, count)
        parts.append(Neighbours._make(column[: count[0]] for column in pairs))
        room *= 2
    pairs = _joined(parts)
    return pairs._replace(object=object_order[pairs.object])


def take_in_turn(
    first: NDArray[np.integer], second: NDArray[np.integer], first_count: int, second_count: int
) -> NDArray[np.bool_]:
    """Assign one-to-one, greedily: each pair, in the order given, is taken if both of its members are still free.

    Args:
        first: (P,) one member of each pair, in [0, first_count).
        second: (P,) the other, in [0, second_count).
        first_count: number of the first kind.
        second_count: number of the second kind.

    Returns:
        (P,) whether the pair is taken.
    """
    taken = np.zeros(len(first), np.bool_)
    _take(
        first.astype(np.int64),
        second.astype(np.int64),
        np.ones(first_count, np.bool_),
        np.ones(second_count, np.bool_),
        taken,
    )
    return taken


class _ComparedDetections(NamedTuple):
    """Detections by image: image i has rows ``order[start[i]:start[i + 1]]`` of `xywh`."""

    start: NDArray[np.int64]
    order: NDArray[np.int32]
    xywh: NDArray[np.float64]


class _Search(NamedTuple):
    """What `_find_pairs` compares, and its memory.

    Attributes:
        detections: by image.
        object_start: (I + 1,) where the objects of each image begin.
        objects: by image.
        min_iou: above 0.
        grid: scratch.
        candidates: scratch.
    """

    detections: _ComparedDetections
    object_start: NDArray[np.int64]
    objects: ObjectBoxes
    min_iou: float
    grid: Grid
    candidates: OverlapCandidates


def _make_pairs(size: int) -> Neighbours:
    return Neighbours(np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size))


def _joined(parts: Sequence[Neighbours]) -> Neighbours:
    columns: Iterator[Any] = zip(*parts, strict=True)
    return Neighbours._make(map(np.concatenate, columns))


def _by_image(
    image: NDArray[np.int32], rows: NDArray[np.int32], images: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The rows by image, each image's in the order given, and where each image begins."""
    order = rows[np.argsort(image[rows], kind="stable")]
    start = np.zeros(images + 1, np.int64)
    np.cumsum(np.bincount(image[rows], minlength=images), out=start[1:])
    return order, start


@kernel
def _find_pairs(position: int, search: _Search, pairs: Neighbours, number: NDArray[np.int64]) -> int:
    """Find the pairs of the detections from `position` on, as long as another detection has room in `pairs`.

    Args:
        position: in ``search.detections.order``.
        search: what to compare.
        pairs: is overwritten; its objects are indices into ``search.objects``.
        number: (1,) becomes the number of pairs.

    Returns:
        Position of the next detection.
    """
    detections, objects = search.detections, search.objects
    count = 0
    image = 0
    while detections.start[image + 1] <= position:
        image += 1
    for current in range(image, len(detections.start) - 1):
        first, last = search.object_start[current], search.object_start[current + 1]
        if last == first:
            position = detections.start[current + 1]
            continue
        if position < detections.start[current + 1]:
            build_grid(objects, first, last, search.grid)
        while position < detections.start[current + 1]:
            if count + last - first > len(pairs.row):
                number[0] = count
                return int(position)
            row = detections.order[position]
            found = find_candidates(
                detections.xywh[row], search.min_iou, objects, first, last, search.grid, search.candidates
            )
            for index in range(found):
                pairs.row[count] = row
                pairs.object[count] = search.candidates.object[index]
                pairs.iou[count] = search.candidates.iou[index]
                count += 1
            position += 1
    number[0] = count
    return int(position)


@kernel
def _take(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    first_free: NDArray[np.bool_],
    second_free: NDArray[np.bool_],
    taken: NDArray[np.bool_],
) -> int:
    count = 0
    for pair in range(len(first)):
        if first_free[first[pair]] and second_free[second[pair]]:
            first_free[first[pair]] = second_free[second[pair]] = False
            taken[pair] = True
            count += 1
    return count
