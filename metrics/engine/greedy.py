"""Greedy matching of detections with objects, at all IoU thresholds at once.

The rule of pycocotools, image by image and class by class: detections by falling score; each takes the free object of
the highest IoU that reaches the threshold; valid objects before ignored ones. Thresholds are independent, so each object
has a word whose bit t tells whether it is still free at threshold t. A detection visits its candidates by falling IoU
and takes, of each, all the bits that the IoU reaches, that are free, and that it has not taken yet: the result for every
threshold, in one pass.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, Protocol

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
from metrics.kernels.sorting import SortScratch, group_rows, make_scratch, sort_classes, sort_falling
from metrics.kernels.threads import WORTH_SHARING, deal, for_each, thread_count

NEARLY_ONE = 1 - 1e-10
"""The highest threshold of pycocotools: an IoU that rounding left below 1 counts as 1."""


class ObjectColumns(BoxColumns, Protocol):
    """Columns of G objects."""

    @property
    def label(self) -> NDArray[np.int32]: ...
    @property
    def area(self) -> NDArray[np.float64]: ...
    @property
    def crowd(self) -> NDArray[np.bool_]: ...
    @property
    def ignored(self) -> NDArray[np.bool_]: ...


class DetectionColumns(BoxColumns, Protocol):
    """Columns of N detections."""

    @property
    def label(self) -> NDArray[np.int32]: ...
    @property
    def score(self) -> NDArray[np.float64]: ...


class GreedySettings(NamedTuple):
    """Settings of matching.

    Attributes:
        images: number of images.
        classes: number of classes.
        by_class: whether a detection must have the class of its object.
        max_dets: maximum number of detections per image and class, highest scores first.
        thresholds: (T,) float64, rising IoU thresholds.
        ranges: (A, 2) float64 smallest and largest area of each area range.
    """

    images: int
    classes: int
    by_class: bool
    max_dets: int
    thresholds: NDArray[np.float64]
    ranges: NDArray[np.float64]


class MatchArrays(NamedTuple):
    """The result of matching; the attributes are those of `metrics.matching.Matches`."""

    start: NDArray[np.int64]
    row: NDArray[np.int32]
    valid: NDArray[np.uint16]
    inside: NDArray[np.uint16]
    pair_row: NDArray[np.int32]
    pair_object: NDArray[np.int32]
    pair_rank: NDArray[np.int32]
    pair_iou: NDArray[np.float64]
    pair_bits: NDArray[np.uint64]


def match_columns(
    truth: ObjectColumns, detections: DetectionColumns, settings: GreedySettings
) -> MatchArrays:
    """Match detections with objects; see `metrics.matching.match`."""
    images, by_class = settings.images, settings.by_class
    object_rows, _ = group_rows(truth.label, None, settings.classes)
    object_rows, object_start = group_rows(truth.image, object_rows, images)
    # without classes, pycocotools concatenates the classes of an image, which decides ties
    order = None if by_class else group_rows(detections.label, None, settings.classes)[0]
    order, start = group_rows(detections.image, order, images)
    valid = _valid_words(truth, settings.ranges)
    task = _Task(
        settings.max_dets,
        np.minimum(settings.thresholds, NEARLY_ONE),
        settings.ranges,
        _Detections(
            start,
            order,
            detections.label if by_class else np.zeros_like(detections.label),
            detections.xywh,
            detections.score.view(np.uint64),
        ),
        _ObjectsByImage(
            object_start,
            truth.label[object_rows] if by_class else np.zeros_like(truth.label),
            make_objects(truth.xywh[object_rows], truth.crowd[object_rows]),
            valid[object_rows],
        ),
        np.empty(len(detections.image), np.uint16),
        np.zeros(len(detections.image), np.bool_),
    )
    classes = settings.classes if by_class else 1
    parts = for_each(lambda chunk: _match_chunk(task, classes, *chunk), _chunks(start, object_start))
    row, position, rank, iou, bits = (np.concatenate(same) for same in zip(*parts, strict=True))
    class_start, ranked = _rank_by_score(task, classes)
    return MatchArrays(class_start, ranked, valid, task.inside, row, object_rows[position], rank, iou, bits)


class _Detections(NamedTuple):
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


class _ObjectsByImage(NamedTuple):
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


class _Task(NamedTuple):
    """What all threads read, and two columns, `inside` and `left_out`, that they write.

    Attributes:
        max_dets: detections beyond this rank in their image and class are left out.
        thresholds: (T,) rising.
        ranges: (A, 2) smallest and largest area.
        detections: of all images.
        objects: of all images.
        inside: (N,) become words whose bit a tells whether the detection's own area is in area range a.
        left_out: (N,) False; becomes True for detections beyond `max_dets`.
    """

    max_dets: int
    thresholds: NDArray[np.float64]
    ranges: NDArray[np.float64]
    detections: _Detections
    objects: _ObjectsByImage
    inside: NDArray[np.uint16]
    left_out: NDArray[np.bool_]


class _Pairs(NamedTuple):
    """Pairs of a detection and an object that it matches.

    Attributes:
        row: (P,) int32 row of the detection.
        object: (P,) int32 position of the object in `_ObjectsByImage`.
        rank: (P,) int32 rank of the detection by score in its image and class, from 0.
        iou: (P,) float64.
        bits: (P, A) uint64 words of the thresholds at which they match.
    """

    row: NDArray[np.int32]
    object: NDArray[np.int32]
    rank: NDArray[np.int32]
    iou: NDArray[np.float64]
    bits: NDArray[np.uint64]


class _Scratch(NamedTuple):
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


def _match_chunk(task: _Task, classes: int, first: int, last: int) -> _Pairs:
    """The pairs of images ``first:last``."""
    per_image = np.diff(task.objects.start[first : last + 1])
    objects = int(per_image.max(initial=0))
    detections = int(np.diff(task.detections.start[first : last + 1]).max(initial=0))
    areas = len(task.ranges)
    scratch = _Scratch(
        np.zeros(classes, np.int32),
        np.zeros(classes, np.int32),
        np.empty(classes + 1, np.int32),
        np.empty(detections, np.int32),
        make_scratch(detections),
        make_grid(objects),
        make_candidates(objects),
        np.empty(objects, np.uint64),
        np.empty((objects, areas), np.uint64),
        np.empty((objects, areas), np.uint64),
    )
    parts = []
    room = int(per_image.sum()) + objects
    while True:
        count = np.zeros(1, np.int64)
        row, index, rank = (np.empty(room, np.int32) for _ in range(3))
        pairs = _Pairs(row, index, rank, np.empty(room), np.empty((room, areas), np.uint64))
        first = _match_images(first, last, task, scratch, pairs, count)
        parts.append(_Pairs._make(column[: count[0]] for column in pairs))
        if first == last:
            return _Pairs._make(np.concatenate(same) for same in zip(*parts, strict=True))
        room *= (
            2  # many detections match the same object (a crowd), so that there are more pairs than objects
        )


def _rank_by_score(task: _Task, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each class begins, and the rows by class, falling score, image and order."""
    detections = task.detections
    label = detections.label
    if task.left_out.any():
        label = np.where(task.left_out, np.int32(-1), label)
    ranked, start = group_rows(label, detections.order, classes)
    sizes = np.diff(start)

    def sort(share: NDArray[np.int32]) -> None:
        sort_classes(start, share, detections.bits, ranked, make_scratch(int(sizes[share].max())))

    for_each(sort, deal(sizes))
    return start, ranked


def _chunks(detection_start: NDArray[np.int64], object_start: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of images with about the same work, several for each thread."""
    images = len(detection_start) - 1
    work = detection_start + object_start
    pieces = 8 * thread_count() if work[-1] > WORTH_SHARING else 1
    cuts = np.searchsorted(work, np.linspace(0, work[-1], pieces + 1)[1:-1])
    edges = sorted({0, *cuts.tolist(), images})
    return list(pairwise(edges)) or [(0, 0)]


def _valid_words(truth: ObjectColumns, ranges: NDArray[np.float64]) -> NDArray[np.uint16]:
    """(G,) words whose bit a tells whether the object is valid in area range a."""
    area = truth.area[:, None]
    within = (area >= ranges[:, 0]) & (area <= ranges[:, 1]) & ~(truth.crowd | truth.ignored)[:, None]
    valid = np.zeros(len(area), np.uint16)
    for index in range(len(ranges)):
        valid |= within[:, index].astype(np.uint16) << index
    return valid


@kernel
def _match_images(
    image_first: int,
    image_last: int,
    task: _Task,
    scratch: _Scratch,
    pairs: _Pairs,
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
    found: int, obj_first: int, objects: _ObjectsByImage, thresholds: NDArray[np.float64], scratch: _Scratch
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
