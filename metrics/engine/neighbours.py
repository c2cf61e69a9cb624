"""Pairs of a detection and an object of one image that overlap, whatever their classes: for confusion and error types.

Matching looks only at pairs of one class. Here all classes of an image meet, and the same kernels find the pairs
without computing those that do not overlap: the IoU of a pair is that of matching, to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.overlap import FRAME, find_objects, lay_grid
from metrics.kernels.compile_cache import kernel
from metrics.tables import AnnotationTable, Table


class Neighbours(NamedTuple):
    """Pairs, those of a detection side by side: the highest IoU first, of equal ones the later object.

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
        return Neighbours(self.row[chosen], self.object[chosen], self.iou[chosen])

    def and_also(self, others: Neighbours) -> Neighbours:
        """These pairs, then the others."""
        return Neighbours(
            np.concatenate([self.row, others.row]),
            np.concatenate([self.object, others.object]),
            np.concatenate([self.iou, others.iou]),
        )


def neighbours(
    truth: AnnotationTable,
    found: Table,
    objects: NDArray[np.bool_],
    rows: NDArray[np.integer],
    least: float,
) -> Neighbours:
    """Every pair of these detections and these objects of the same image whose IoU is at least `least`.

    Args:
        truth: the objects.
        found: the detections, on the same catalog; or other objects of it.
        objects: (G,) mask of the objects that are looked at; a crowd is compared by IoU like any other.
        rows: (D,) rows of the detections; no row twice.
        least: above 0.
    """
    images = len(truth.catalog.image_ids)
    chosen = np.flatnonzero(objects).astype(np.int32)
    obj_order, obj_start = _by_image(truth.image, chosen, images)
    det_order, det_start = _by_image(found.image, rows.astype(np.int32), images)
    x, y, width, height = truth.xywh[obj_order].T
    boxes = np.stack([x, y, width + x, height + y, width * height], axis=1)
    most = int(np.diff(obj_start).max(initial=0))
    looked_at = (np.zeros(len(boxes), np.bool_), np.empty(FRAME, np.float64))
    scratch = tuple(np.empty(size, np.int32) for size in (most + 2, most, most, most))
    xywh = np.ascontiguousarray(found.xywh)
    parts = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float64))]
    place, room = 0, 2 * len(boxes) + most
    while place < len(det_order):
        pairs = np.zeros(1, np.int64)
        image = int(np.searchsorted(det_start, place, side="right")) - 1
        columns = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.float64)
        place = _fill(
            place, image, det_start, det_order, xywh, obj_start, boxes, least,
            looked_at[0], looked_at[1], scratch[0], scratch[1], scratch[2], scratch[3],
            np.empty(most, np.float64), columns[0], columns[1], columns[2], pairs,
        )  # fmt: skip
        parts.append((columns[0][: pairs[0]], columns[1][: pairs[0]], columns[2][: pairs[0]]))
        room *= 2
    row, position, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Neighbours(row, obj_order[position], iou)


def take_in_turn(
    first: NDArray[np.integer], second: NDArray[np.integer], first_count: int, second_count: int
) -> NDArray[np.bool_]:
    """Which pairs are taken when, in the order given, each takes its two members if both are still free.

    Args:
        first: (P,) one member of each pair, in [0, first_count).
        second: (P,) the other, in [0, second_count).
        first_count: how many there are of the one kind.
        second_count: and of the other.

    Returns:
        (P,) one-to-one: no member is in two pairs that are taken.
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


def _by_image(
    image: NDArray[np.int32], rows: NDArray[np.int32], images: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The rows by image, each image's in the order given, and where each image begins."""
    order = rows[np.argsort(image[rows], kind="stable")]
    start = np.zeros(images + 1, np.int64)
    np.cumsum(np.bincount(image[rows], minlength=images), out=start[1:])
    return order, start


@kernel
def _fill(
    place: int,
    image: int,
    det_start: NDArray[np.int64],
    det_order: NDArray[np.int32],
    det_box: NDArray[np.float64],
    obj_start: NDArray[np.int64],
    objects: NDArray[np.float64],
    least: float,
    crowd: NDArray[np.bool_],
    frame: NDArray[np.float64],
    bucket_start: NDArray[np.int32],
    items: NDArray[np.int32],
    others: NDArray[np.int32],
    near: NDArray[np.int32],
    near_iou: NDArray[np.float64],
    pair_row: NDArray[np.int32],
    pair_position: NDArray[np.int32],
    pair_iou: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> int:
    """Write the pairs of the detections from `place` (of `image`) on, as long as another detection has room.

    `pair_row`, `pair_position` and `pair_iou` become the detection, the place of the object in `objects` and their
    IoU; ``pairs[0]`` how many there are. `crowd` is (G,), all False; it and `frame` to `near_iou` are what `lay_grid`
    and `find_objects` work with. Returns the place of the detection that comes next.
    """
    count = 0
    for current in range(image, len(det_start) - 1):
        first, last = obj_start[current], obj_start[current + 1]
        if last == first:
            place = det_start[current + 1]
            continue
        if place < det_start[current + 1]:
            lay_grid(objects, crowd, first, last, frame, bucket_start, items, others)
        while place < det_start[current + 1]:
            if count + last - first > len(pair_row):
                pairs[0] = count
                return int(place)
            row = det_order[place]
            found = find_objects(
                det_box[row], least, objects, crowd, first, last,
                frame, bucket_start, items, others, near, near_iou,
            )  # fmt: skip
            for index in range(found):
                pair_row[count] = row
                pair_position[count] = near[index]
                pair_iou[count] = near_iou[index]
                count += 1
            place += 1
    pairs[0] = count
    return int(place)


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
