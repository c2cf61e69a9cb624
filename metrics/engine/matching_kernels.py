"""Kernels of greedy matching: the images of a chunk, detection by detection, at all IoU thresholds at once.

Thresholds are independent, so each object has a word whose bit t tells whether it is still free at threshold t. A
detection visits its candidates by falling IoU and takes, of each, all the bits that the IoU reaches, that are free, and
that it has not taken yet: the result for every threshold, in one pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.overlap import Grid, ObjectBoxes, OverlapCandidates, build_grid, find_candidates
from metrics.kernels.compile_cache import kernel
from metrics.kernels.sorting import SortScratch, sort_falling


class DetectionsByImage(NamedTuple):
    """Detections of all images.

    Attributes:
        start: (I + 1,) where each image begins in `order`.
        order: (N,) rows, by image.
        label: (N,) by row.
        xywh: (N, 4) by row.
        bits: (N,) scores as integers of the same bits, by row.
    """

    start: NDArray[np.int64]
    order: NDArray[np.int32]
    label: NDArray[np.int32]
    xywh: NDArray[np.float64]
    bits: NDArray[np.uint64]


class ObjectsByImage(NamedTuple):
    """Objects by image; those of a class in an image are contiguous.

    Attributes:
        start: (I + 1,) where each image begins.
        label: (G,).
        boxes: of G objects.
        valid: (G,) words whose bit a tells whether the object is valid in area range a.
    """

    start: NDArray[np.int64]
    label: NDArray[np.int32]
    boxes: ObjectBoxes
    valid: NDArray[np.uint16]


class MatchTask(NamedTuple):
    """What all threads read, and two columns, `inside` and `left_out`, that they write.

    Attributes:
        best_only: whether a detection is compared with the object of the highest IoU only, as in Pascal VOC.
        max_dets: detections beyond this rank in their image and class are left out.
        thresholds: (T,) rising.
        ranges: (A, 2) smallest and largest area.
        detections: of all images.
        objects: of all images.
        inside: (N,) become words whose bit a tells whether the detection's own area is in area range a.
        left_out: (N,) False; becomes True for detections beyond `max_dets`.
    """

    best_only: bool
    max_dets: int
    thresholds: NDArray[np.float64]
    ranges: NDArray[np.float64]
    detections: DetectionsByImage
    objects: ObjectsByImage
    inside: NDArray[np.uint16]
    left_out: NDArray[np.bool_]


class MatchPairs(NamedTuple):
    """Pairs of a detection and an object that it matches.

    Attributes:
        row: (P,) int32 row of the detection.
        object: (P,) int32 position of the object in `ObjectsByImage`.
        rank: (P,) int32 rank of the detection by score in its image and class, from 0.
        iou: (P,) float64.
        bits: (P, A) uint64 words of the thresholds at which they match.
    """

    row: NDArray[np.int32]
    object: NDArray[np.int32]
    rank: NDArray[np.int32]
    iou: NDArray[np.float64]
    bits: NDArray[np.uint64]


class MatchScratch(NamedTuple):
    """Memory of one thread.

    Attributes:
        label_count: (C,) zeros before and after each image.
        label_object: (C,) zeros before and after each image.
        labels: classes of one image.
        rows: detections of one image.
        sorting: for the detections of one image.
        grid: for the objects of one image, like all that follow.
        candidates: of one detection.
        reached: words of the thresholds that each candidate reaches.
        taken: (objects, A) words of the thresholds at which each candidate is taken.
        free: (objects, A) words of the thresholds at which each object is free.
    """

    label_count: NDArray[np.int32]
    label_object: NDArray[np.int32]
    labels: NDArray[np.int32]
    rows: NDArray[np.int32]
    sorting: SortScratch
    grid: Grid
    candidates: OverlapCandidates
    reached: NDArray[np.uint64]
    taken: NDArray[np.uint64]
    free: NDArray[np.uint64]


@kernel
def match_images(
    image_first: int,
    image_last: int,
    task: MatchTask,
    scratch: MatchScratch,
    pairs: MatchPairs,
    number: NDArray[np.int64],
) -> int:
    """Match the detections of images ``image_first:image_last``.

    Args:
        image_first: the first image.
        image_last: the one after the last.
        task: `inside` and `left_out` are written.
        scratch: for the largest of the images.
        pairs: is filled from ``number[0]`` on.
        number: (1,) number of pairs; is increased.

    Returns:
        The image for which `pairs` had no room, from which to continue; or `image_last`.
    """
    detections, objects = task.detections, task.objects
    label_count, label_object = scratch.label_count, scratch.label_object
    labels, rows = scratch.labels, scratch.rows
    ranges, most = task.ranges, task.max_dets
    areas = ranges.shape[0]
    every = ~np.uint64(0) >> np.uint64(64 - task.thresholds.size)
    for image in range(image_first, image_last):
        begin, end = detections.start[image], detections.start[image + 1]
        obj_begin, obj_end = objects.start[image], objects.start[image + 1]
        for position in range(begin, end):
            row = detections.order[position]
            own = detections.xywh[row, 2] * detections.xywh[row, 3]
            word = 0
            for area in range(areas):
                word |= int((own >= ranges[area, 0]) & (own <= ranges[area, 1])) << area
            task.inside[row] = word
        if obj_begin == obj_end and end - begin <= most:
            continue

        # group the detections of the image by class, in their order; a class's count becomes its position
        classes = 0
        for position in range(begin, end):
            label = detections.label[detections.order[position]]
            labels[classes] = label
            classes += label_count[label] == 0
            label_count[label] += 1
        total = 0
        for index in range(classes):
            total, label_count[labels[index]] = total + label_count[labels[index]], total
        for position in range(begin, end):
            row = detections.order[position]
            rows[label_count[detections.label[row]]] = row
            label_count[detections.label[row]] += 1
        for index in range(obj_end - 1, obj_begin - 1, -1):
            label_object[objects.label[index]] = index - obj_begin + 1  # plus one: 0 means "none"

        pairs_before = number[0]
        full = False
        first = 0
        for index in range(classes):
            label = labels[index]
            last = label_count[label]
            obj_first = obj_begin + label_object[label] - 1
            obj_last = obj_first
            while obj_begin <= obj_last < obj_end and objects.label[obj_last] == label:
                obj_last += 1
            if (obj_last > obj_first or last - first > most) and not full:
                sort_falling(detections.bits, rows, first, last, scratch.sorting)
                for position in range(first + most, last):
                    task.left_out[rows[position]] = True
            if obj_last > obj_first and not full:
                build_grid(objects.boxes, obj_first, obj_last, scratch.grid)
                scratch.free[: obj_last - obj_first] = every
                for position in range(first, min(last, first + most)):
                    row = rows[position]
                    found = find_candidates(
                        detections.xywh[row],
                        task.thresholds[0],
                        objects.boxes,
                        obj_first,
                        obj_last,
                        scratch.grid,
                        scratch.candidates,
                    )
                    if found == 0:
                        continue
                    full = number[0] + found > pairs.row.size
                    if full:
                        break
                    if task.best_only:
                        _take_best(found, obj_first, objects, task.thresholds, scratch)
                    else:
                        _take_objects(found, obj_first, objects, task.thresholds, scratch)
                    for candidate in range(found):
                        pair = number[0]
                        any_taken = np.uint64(0)
                        for area in range(areas):
                            any_taken |= scratch.taken[candidate, area]
                            pairs.bits[pair, area] = scratch.taken[candidate, area]
                        pairs.row[pair] = row
                        pairs.object[pair] = scratch.candidates.object[candidate]
                        pairs.rank[pair] = position - first
                        pairs.iou[pair] = scratch.candidates.iou[candidate]
                        number[0] += any_taken != 0
            first = last

        for index in range(classes):
            label_count[labels[index]] = 0
        for index in range(obj_begin, obj_end):
            label_object[objects.label[index]] = 0
        if full:  # discard the image: it is matched again
            number[0] = pairs_before
            return image
    return image_last


@kernel
def _take_objects(
    found: int,
    obj_first: int,
    objects: ObjectsByImage,
    thresholds: NDArray[np.float64],
    scratch: MatchScratch,
) -> int:
    """Let one detection take, at each threshold, one of its candidates.

    Args:
        found: number of candidates in `scratch`; all reach the first threshold.
        obj_first: the object to which the first row of ``scratch.free`` belongs.
        objects: of all images.
        thresholds: (T,) rising.
        scratch: in `free` the bits that are taken are cleared, but a crowd stays free; `taken` is written.
    """
    index_of, iou = scratch.candidates.object, scratch.candidates.iou
    reached, free, taken = scratch.reached, scratch.free, scratch.taken
    areas = free.shape[1]
    every = ~np.uint64(0) >> np.uint64(64 - thresholds.size)
    for candidate in range(found):
        count = 1
        while count < thresholds.size and thresholds[count] <= iou[candidate]:
            count += 1
        reached[candidate] = every >> np.uint64(thresholds.size - count)
    for area in range(areas):
        wanted = every
        for ignored in range(2):  # valid objects first, whatever their IoU
            for candidate in range(found):
                index = index_of[candidate]
                if (int(objects.valid[index]) >> area) & 1 != ignored:
                    take = wanted & reached[candidate] & free[index - obj_first, area]
                    taken[candidate, area] = take
                    wanted &= ~take
                    if not objects.boxes.crowd[index]:
                        free[index - obj_first, area] &= ~take
    return found


@kernel
def _take_best(
    found: int,
    obj_first: int,
    objects: ObjectsByImage,
    thresholds: NDArray[np.float64],
    scratch: MatchScratch,
) -> int:
    """Let one detection take, at each threshold, the candidate of the highest IoU, of equal ones the first object.

    If it is valid and taken already, the detection takes none. An ignored one stays free.

    Args:
        found: number of candidates in `scratch`; all reach the first threshold.
        obj_first: the object to which the first row of ``scratch.free`` belongs.
        objects: of all images.
        thresholds: (T,) rising.
        scratch: in `free` the bits that are taken are cleared; `taken` is written.
    """
    index_of, iou = scratch.candidates.object, scratch.candidates.iou
    free, taken = scratch.free, scratch.taken
    areas = free.shape[1]
    best = 0
    while best + 1 < found and iou[best + 1] == iou[0]:
        best += 1
    count = 1
    while count < thresholds.size and thresholds[count] <= iou[best]:
        count += 1
    reached = ~np.uint64(0) >> np.uint64(64 - count)
    index = index_of[best]
    taken[:found] = np.uint64(0)
    for area in range(areas):
        if (int(objects.valid[index]) >> area) & 1:
            taken[best, area] = reached & free[index - obj_first, area]
            free[index - obj_first, area] &= ~reached
        else:
            taken[best, area] = reached
    return found
