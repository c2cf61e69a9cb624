"""The kernel that matches: which detection finds which object, at all thresholds at once.

The greedy rule of the reference, image by image and class by class: detections by falling score, each takes the free
object of the highest IoU that reaches the threshold; objects that are asked for go before those that are ignored.
Thresholds do not know each other, so each object carries a word whose bit t says that at threshold t it is still
free. A detection meets its candidates by falling IoU and takes, of each, all the bits that the IoU satisfies, that
are free, and that it still wants: that is the reference's answer for every threshold, in one walk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.engine.compiling import kernel
from metrics.engine.overlap import find_objects, lay_grid
from metrics.engine.sorting import falling_keys, sort_segment


@kernel
def match_images(
    image_first: int,
    image_last: int,
    most: int,
    det_start: NDArray[np.int64],
    det_order: NDArray[np.int32],
    det_label: NDArray[np.int32],
    det_box: NDArray[np.float64],
    det_bits: NDArray[np.uint64],
    obj_start: NDArray[np.int64],
    obj_label: NDArray[np.int32],
    objects: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    asked: NDArray[np.uint64],
    thresholds: NDArray[np.float64],
    label_count: NDArray[np.int32],
    label_object: NDArray[np.int32],
    rows: NDArray[np.int32],
    keys: NDArray[np.uint64],
    other_rows: NDArray[np.int32],
    other_keys: NDArray[np.uint64],
    count: NDArray[np.int32],
    frame: NDArray[np.float64],
    bucket_start: NDArray[np.int32],
    items: NDArray[np.int32],
    others: NDArray[np.int32],
    near: NDArray[np.int32],
    near_iou: NDArray[np.float64],
    taken: NDArray[np.uint64],
    free: NDArray[np.uint64],
    left_out: NDArray[np.bool_],
    pair_row: NDArray[np.int32],
    pair_object: NDArray[np.int32],
    pair_rank: NDArray[np.int32],
    pair_iou: NDArray[np.float64],
    pair_bits: NDArray[np.uint64],
    pairs: NDArray[np.int64],
) -> int:
    """Match the detections of images ``image_first:image_last``.

    Args:
        most: detections beyond this many of an image and class are left out.
        det_start, det_order: (I + 1,) and (N,): the rows of each image's detections.
        det_label, det_box, det_bits: (N,), (N, 4) xywh, (N,) scores read as integers; by row.
        obj_start: (I + 1,); the objects of an image lie side by side, and in it those of a class.
        obj_label, objects, crowd: (G,), (G, 5) x1, y1, x2, y2, area, (G,).
        asked: (G,) words whose bit a says that the object is asked for in area range a.
        thresholds: (T,) rising.
        label_count, label_object: (C,) scratch, zeros; left as zeros.
        rows ... count: scratch for the detections of one image; see `sort_segment`.
        frame ... near_iou: scratch for the objects of one image; see `find_objects`.
        taken: (objects of one image, A) scratch.
        free: (objects of one image, A) scratch.
        left_out: (N,) false; becomes true for the detections beyond `most`.
        pair_row, pair_object, pair_rank, pair_iou, pair_bits: (P,), and (P, A) for the last: detection, object, the
            detection's place by score in its image and class, IoU, and a word of thresholds for each area range.
        pairs: (1,) how many pairs there are; raised.

    Returns:
        The image at which the room for pairs ran out, to be called again from there with more; or `image_last`.
    """
    areas = free.shape[1]
    every = ~np.uint64(0) >> np.uint64(64 - thresholds.size)
    for image in range(image_first, image_last):
        begin, end = det_start[image], det_start[image + 1]
        obj_begin, obj_end = obj_start[image], obj_start[image + 1]
        if obj_begin == obj_end and end - begin <= most:
            continue
        pairs_before = pairs[0]

        # The detections of the image by class, in their order.
        for place in range(begin, end):
            label_count[det_label[det_order[place]]] += 1
        for index in range(obj_end - 1, obj_begin - 1, -1):
            label_object[obj_label[index]] = index - obj_begin + 1  # one past, so that 0 says "none"
        total = 0
        for place in range(begin, end):
            label = det_label[det_order[place]]
            size = label_count[label]
            if size > 0:  # met for the first time: its place among the rows, kept as a negative number
                label_count[label] = -total - 1
                total += size
        for place in range(begin, end):
            row = det_order[place]
            label = det_label[row]
            rows[-label_count[label] - 1] = row
            label_count[label] -= 1

        first = 0
        full = False
        while first < end - begin and not full:
            label = det_label[rows[first]]
            last = -label_count[label] - 1
            obj_first = obj_begin + label_object[label] - 1
            obj_last = obj_first
            if label_object[label] > 0:
                while obj_last < obj_end and obj_label[obj_last] == label:
                    obj_last += 1
            if obj_last > obj_first or last - first > most:
                falling_keys(det_bits, rows, first, last, keys)
                sort_segment(keys, rows, first, last, other_keys, other_rows, count)
                for place in range(first + most, last):
                    left_out[rows[place]] = True
            if obj_last > obj_first:
                lay_grid(objects, crowd, obj_first, obj_last, frame, bucket_start, items, others)
                free[: obj_last - obj_first] = every
                for place in range(first, min(last, first + most)):
                    row = rows[place]
                    found = find_objects(
                        det_box[row],
                        thresholds[0],
                        objects,
                        crowd,
                        obj_first,
                        obj_last,
                        frame,
                        bucket_start,
                        items,
                        others,
                        near,
                        near_iou,
                    )
                    if found == 0:
                        continue
                    if pairs[0] + found > pair_row.size:
                        full = True
                        break
                    take_objects(
                        near, near_iou, found, obj_first, asked, crowd, thresholds, every, free, taken
                    )
                    for candidate in range(found):
                        any_taken = np.uint64(0)
                        for area in range(areas):
                            any_taken |= taken[candidate, area]
                        if any_taken != 0:
                            pair = pairs[0]
                            pair_row[pair] = row
                            pair_object[pair] = near[candidate]
                            pair_rank[pair] = place - first
                            pair_iou[pair] = near_iou[candidate]
                            pair_bits[pair] = taken[candidate]
                            pairs[0] = pair + 1
            first = last

        for place in range(begin, end):
            label_count[det_label[det_order[place]]] = 0
        for index in range(obj_begin, obj_end):
            label_object[obj_label[index]] = 0
        if full:  # forget the image: it will be matched again
            pairs[0] = pairs_before
            return image
    return image_last


@kernel
def take_objects(
    near: NDArray[np.int32],
    near_iou: NDArray[np.float64],
    found: int,
    obj_first: int,
    asked: NDArray[np.uint64],
    crowd: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    every: np.uint64,
    free: NDArray[np.uint64],
    taken: NDArray[np.uint64],
) -> int:
    """One detection takes what it can of its candidates, at each threshold one object.

    Args:
        near, near_iou, found: its candidates, best first.
        free: (objects, A) words of the thresholds at which each object is free; taken bits are cleared, but a crowd
            stays free.
        taken: (found, A) at least; becomes the words of the thresholds at which each candidate is taken.
    """
    areas = free.shape[1]
    for candidate in range(found):
        taken[candidate] = 0
    for area in range(areas):
        wanted = every
        bit = np.uint64(1) << np.uint64(area)
        for ignored in range(2):  # those asked for go first, whatever their IoU
            for candidate in range(found):
                index = near[candidate]
                if ((asked[index] & bit) == 0) != (ignored == 1):
                    continue
                reached = thresholds.size
                while reached > 0 and not thresholds[reached - 1] <= near_iou[candidate]:
                    reached -= 1
                if reached == 0:
                    continue
                satisfied = every >> np.uint64(thresholds.size - reached)
                take = wanted & satisfied & free[index - obj_first, area]
                if take != 0:
                    taken[candidate, area] = take
                    wanted &= ~take
                    if not crowd[index]:
                        free[index - obj_first, area] &= ~take
    return found
