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

from metrics.engine.overlap import find_objects, lay_grid
from metrics.kernels.compile_cache import kernel
from metrics.kernels.sorting import sort_falling


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
    valid: NDArray[np.uint16],
    thresholds: NDArray[np.float64],
    ranges: NDArray[np.float64],
    label_count: NDArray[np.int32],
    label_object: NDArray[np.int32],
    labels: NDArray[np.int32],
    rows: NDArray[np.int32],
    keys: NDArray[np.uint64],
    other_keys: NDArray[np.uint64],
    other_rows: NDArray[np.int32],
    digits: NDArray[np.int32],
    frame: NDArray[np.float64],
    bucket_start: NDArray[np.int32],
    items: NDArray[np.int32],
    others: NDArray[np.int32],
    near: NDArray[np.int32],
    near_iou: NDArray[np.float64],
    reached: NDArray[np.uint64],
    taken: NDArray[np.uint64],
    free: NDArray[np.uint64],
    inside: NDArray[np.uint16],
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
        image_first: the first image.
        image_last: the one after the last.
        most: detections beyond this many of an image and class are left out.
        det_start: (I + 1,) where each image begins in `det_order`.
        det_order: (N,) rows of detections, by image.
        det_label: (N,) by row.
        det_box: (N, 4) xywh, by row.
        det_bits: (N,) scores read as integers, by row.
        obj_start: (I + 1,) where each image's objects begin; in an image those of a class lie side by side.
        obj_label: (G,).
        objects: (G, 5) x1, y1, x2, y2, area.
        crowd: (G,).
        valid: (G,) words whose bit a says that the object is asked for in area range a.
        thresholds: (T,) rising.
        ranges: (A, 2) least and most area.
        label_count: (C,) scratch, zeros; left as zeros.
        label_object: likewise.
        labels: scratch for the classes of one image.
        rows: scratch for the detections of one image, as are those up to `other_rows`.
        keys: see `sort_falling`.
        other_keys: likewise.
        other_rows: likewise.
        digits: likewise.
        frame: see `lay_grid`; scratch for the objects of one image, as are those up to `free`.
        bucket_start: likewise.
        items: likewise.
        others: likewise.
        near: see `find_objects`.
        near_iou: likewise.
        reached: see `take_objects`.
        taken: likewise, (objects, A).
        free: likewise, (objects, A).
        inside: (N,) becomes words whose bit a says that the detection's own area is in range a.
        left_out: (N,) false; becomes true for detections beyond `most`.
        pair_row: (P,) the detection of each pair that is found,
        pair_object: (P,) its object,
        pair_rank: (P,) the detection's place by score in its image and class,
        pair_iou: (P,) their IoU,
        pair_bits: (P, A) and the thresholds at which it found the object, a word for each area range.
        pairs: (1,) how many pairs there are; raised.

    Returns:
        The image at which the room for pairs ran out, to be called again from there with more; or `image_last`.
    """
    areas = ranges.shape[0]
    every = ~np.uint64(0) >> np.uint64(64 - thresholds.size)
    for image in range(image_first, image_last):
        begin, end = det_start[image], det_start[image + 1]
        obj_begin, obj_end = obj_start[image], obj_start[image + 1]
        for place in range(begin, end):
            row = det_order[place]
            own = det_box[row, 2] * det_box[row, 3]
            word = 0
            for area in range(areas):
                word |= int((own >= ranges[area, 0]) & (own <= ranges[area, 1])) << area
            inside[row] = word
        if obj_begin == obj_end and end - begin <= most:
            continue

        # Lay the detections of the image out by class, in their order. A class's count becomes its place.
        classes = 0
        for place in range(begin, end):
            label = det_label[det_order[place]]
            labels[classes] = label
            classes += label_count[label] == 0
            label_count[label] += 1
        total = 0
        for index in range(classes):
            total, label_count[labels[index]] = total + label_count[labels[index]], total
        for place in range(begin, end):
            row = det_order[place]
            rows[label_count[det_label[row]]] = row
            label_count[det_label[row]] += 1
        for index in range(obj_end - 1, obj_begin - 1, -1):
            label_object[obj_label[index]] = index - obj_begin + 1  # one more, so that 0 says "none"

        pairs_before = pairs[0]
        full = False
        first = 0
        for index in range(classes):
            label = labels[index]
            last = label_count[label]
            obj_first = obj_begin + label_object[label] - 1
            obj_last = obj_first
            while obj_begin <= obj_last < obj_end and obj_label[obj_last] == label:
                obj_last += 1
            if (obj_last > obj_first or last - first > most) and not full:
                sort_falling(det_bits, rows, first, last, keys, other_keys, other_rows, digits)
                for place in range(first + most, last):
                    left_out[rows[place]] = True
            if obj_last > obj_first and not full:
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
                    full = pairs[0] + found > pair_row.size
                    if full:
                        break
                    take_objects(
                        near, near_iou, found, obj_first, valid, crowd, thresholds, reached, free, taken
                    )
                    for candidate in range(found):
                        pair = pairs[0]
                        any_taken = np.uint64(0)
                        for area in range(areas):
                            any_taken |= taken[candidate, area]
                            pair_bits[pair, area] = taken[candidate, area]
                        pair_row[pair] = row
                        pair_object[pair] = near[candidate]
                        pair_rank[pair] = place - first
                        pair_iou[pair] = near_iou[candidate]
                        pairs[0] += any_taken != 0
            first = last

        for index in range(classes):
            label_count[labels[index]] = 0
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
    valid: NDArray[np.uint16],
    crowd: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    reached: NDArray[np.uint64],
    free: NDArray[np.uint64],
    taken: NDArray[np.uint64],
) -> int:
    """One detection takes what it can of its candidates, at each threshold one object.

    Args:
        near: (found,) at least, its candidates, best first.
        near_iou: (found,) at least; all reach the first threshold.
        found: how many there are.
        obj_first: the object to which the first row of `free` belongs.
        valid: (G,) words whose bit a says that the object is asked for in area range a.
        crowd: (G,).
        thresholds: (T,) rising.
        reached: (found,) at least, scratch.
        free: (objects, A) words of the thresholds at which each object is free; bits that are taken are cleared, but
            a crowd stays free.
        taken: (found, A) at least; becomes the words of the thresholds at which each candidate is taken.
    """
    areas = free.shape[1]
    every = ~np.uint64(0) >> np.uint64(64 - thresholds.size)
    for candidate in range(found):
        count = 1
        while count < thresholds.size and thresholds[count] <= near_iou[candidate]:
            count += 1
        reached[candidate] = every >> np.uint64(thresholds.size - count)
    for area in range(areas):
        wanted = every
        for ignored in range(2):  # those asked for go first, whatever their IoU
            for candidate in range(found):
                index = near[candidate]
                if (int(valid[index]) >> area) & 1 != ignored:
                    take = wanted & reached[candidate] & free[index - obj_first, area]
                    taken[candidate, area] = take
                    wanted &= ~take
                    if not crowd[index]:
                        free[index - obj_first, area] &= ~take
    return found
