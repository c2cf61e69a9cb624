"""Greedy matching of detections with objects: columns in, matches out.

The rule of pycocotools, image by image and class by class: detections by falling score; each takes the free object of
the highest IoU that reaches the threshold; valid objects before ignored ones. Chunks of images are matched by
`metrics.engine.matching_kernels` in several threads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metrics.engine.matching_kernels import (
    DetectionsByImage,
    MatchPairs,
    MatchScratch,
    MatchTask,
    ObjectsByImage,
    match_images,
)
from metrics.engine.overlap import BoxColumns, make_candidates, make_grid, make_objects
from metrics.kernels.sorting import group_rows, make_scratch, sort_classes
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
        best_only: whether a detection is compared with the object of the highest IoU only.
        ties_by_image: whether detections of equal score are ranked by image first, or in the order of rows.
        max_dets: maximum number of detections per image and class, highest scores first.
        thresholds: (T,) float64, rising IoU thresholds.
        ranges: (A, 2) float64 smallest and largest area of each area range.
    """

    images: int
    classes: int
    by_class: bool
    best_only: bool
    ties_by_image: bool
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
    task = MatchTask(
        settings.best_only,
        settings.max_dets,
        np.minimum(settings.thresholds, NEARLY_ONE),
        settings.ranges,
        DetectionsByImage(
            start,
            order,
            detections.label if by_class else np.zeros_like(detections.label),
            detections.xywh,
            detections.score.view(np.uint64),
        ),
        ObjectsByImage(
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
    class_start, ranked = _rank_by_score(task, classes, settings.ties_by_image)
    return MatchArrays(class_start, ranked, valid, task.inside, row, object_rows[position], rank, iou, bits)


def _match_chunk(task: MatchTask, classes: int, first: int, last: int) -> MatchPairs:
    """The pairs of images ``first:last``."""
    per_image = np.diff(task.objects.start[first : last + 1])
    objects = int(per_image.max(initial=0))
    detections = int(np.diff(task.detections.start[first : last + 1]).max(initial=0))
    areas = len(task.ranges)
    scratch = MatchScratch(
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
        pairs = MatchPairs(row, index, rank, np.empty(room), np.empty((room, areas), np.uint64))
        first = match_images(first, last, task, scratch, pairs, count)
        parts.append(MatchPairs._make(column[: count[0]] for column in pairs))
        if first == last:
            return MatchPairs._make(np.concatenate(same) for same in zip(*parts, strict=True))
        room *= (
            2  # many detections match the same object (a crowd), so that there are more pairs than objects
        )


def _rank_by_score(
    task: MatchTask, classes: int, ties_by_image: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each class begins, and the rows by class, falling score, image (if `ties_by_image`) and order."""
    detections = task.detections
    label = detections.label
    if task.left_out.any():
        label = np.where(task.left_out, np.int32(-1), label)
    ranked, start = group_rows(label, detections.order if ties_by_image else None, classes)
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
