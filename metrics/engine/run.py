"""Calls the kernels: prepares their columns and scratch, shares the images and classes between threads."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine import curves, greedy, overlap
from metrics.kernels import sorting
from metrics.kernels.threads import for_each, thread_count
from metrics.matching import Curves, Matches, MatchRule
from metrics.tables import AnnotationTable, DetectionTable

NEARLY_ONE = 1 - 1e-10
"""The reference's highest threshold: an IoU that rounding left below 1 still is 1."""

WORTH_SHARING = 4096
"""Fewer boxes than this are matched before a second thread has begun."""


def match_tables(truth: AnnotationTable, found: DetectionTable, rule: MatchRule) -> Matches:
    """What `metrics.matching.match` promises; the tables have the same catalog."""
    images = len(truth.catalog.image_ids)
    classes = len(truth.catalog.classes)
    obj_rows, _ = _count_sort(truth.label, None, classes)
    obj_rows, obj_start = _count_sort(truth.image, obj_rows, images)
    # The reference chains the classes of an image where it does not tell them apart; that settles ties.
    det_rows = None if rule.by_class else _count_sort(found.label, None, classes)[0]
    det_rows, det_start = _count_sort(found.image, det_rows, images)
    ranges = np.array(list(rule.area_ranges.values()), np.float64)
    valid = _valid(truth, ranges)
    task = _Matching(
        classes=classes if rule.by_class else 1,
        most=rule.max_dets[-1],
        detections=(
            det_start,
            det_rows,
            found.label if rule.by_class else np.zeros_like(found.label),
            found.xywh,
            found.score.view(np.uint64),
        ),
        objects=(
            obj_start,
            truth.label[obj_rows] if rule.by_class else np.zeros_like(truth.label),
            _corners(truth.xywh[obj_rows]),
            truth.crowd[obj_rows],
            valid[obj_rows],
        ),
        thresholds=np.minimum(np.array(rule.iou_thresholds), NEARLY_ONE),
        ranges=ranges,
        inside=np.empty(len(found), np.uint16),
        left_out=np.zeros(len(found), np.bool_),
    )
    parts = for_each(task.match, _chunks(det_start, obj_start))
    row, position, rank, iou, bits = (np.concatenate(same) for same in zip(*parts, strict=True))
    start, walk = _walk(task)
    return Matches(
        rule, truth, found, start, walk, valid, task.inside, row, obj_rows[position], rank, iou, bits
    )


class _Matching(NamedTuple):
    """What the threads read while they match, and the two columns, `inside` and `left_out`, that they write.

    Attributes are those of `greedy.match_images`.
    """

    classes: int
    most: int
    detections: tuple[NDArray[Any], ...]
    objects: tuple[NDArray[Any], ...]
    thresholds: NDArray[np.float64]
    ranges: NDArray[np.float64]
    inside: NDArray[np.uint16]
    left_out: NDArray[np.bool_]

    def match(self, chunk: tuple[int, int]) -> tuple[NDArray[Any], ...]:
        """The pairs of images ``chunk[0]:chunk[1]``: rows, positions of objects, ranks, IoU, words."""
        first, last = chunk
        per_image = np.diff(self.objects[0][first : last + 1])
        objects = int(per_image.max(initial=0))
        detections = int(np.diff(self.detections[0][first : last + 1]).max(initial=0))
        areas = len(self.ranges)
        scratch = (
            np.zeros(self.classes, np.int32),
            np.zeros(self.classes, np.int32),
            np.empty(self.classes + 1, np.int32),
            np.empty(detections, np.int32),
            *_sorting_scratch(detections),
            np.empty(overlap.FRAME),
            np.empty(objects + 2, np.int32),
            np.empty(objects, np.int32),
            np.empty(objects, np.int32),
            np.empty(objects, np.int32),
            np.empty(objects),
            np.empty(objects, np.uint64),
            np.empty((objects, areas), np.uint64),
            np.empty((objects, areas), np.uint64),
        )
        parts = []
        room = int(per_image.sum()) + objects
        while True:
            pairs = np.zeros(1, np.int64)
            columns = (
                np.empty(room, np.int32),
                np.empty(room, np.int32),
                np.empty(room, np.int32),
                np.empty(room),
                np.empty((room, areas), np.uint64),
            )
            first = greedy.match_images(
                first,
                last,
                self.most,
                *self.detections,
                *self.objects,
                self.thresholds,
                self.ranges,
                *scratch,
                self.inside,
                self.left_out,
                *columns,
                pairs,
            )
            parts.append(tuple(column[: pairs[0]] for column in columns))
            if first == last:
                return tuple(np.concatenate(same) for same in zip(*parts, strict=True))
            room *= 2  # many detections share an object (a crowd): there are more pairs than objects


def _walk(task: _Matching) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each class begins, and the rows class by class, by falling score, image and order."""
    _, by_image, label, _, bits = task.detections
    if task.left_out.any():
        label = np.where(task.left_out, np.int32(-1), label)
    walk, start = _count_sort(label, by_image, task.classes)

    def sort(classes: NDArray[np.int32]) -> None:
        longest = int((start[classes + 1] - start[classes]).max())
        sorting.sort_classes(start, classes, bits, walk, *_sorting_scratch(longest))

    for_each(sort, _shares(np.diff(start)))
    return start, walk


class CurveSteps(NamedTuple):
    """The pairs in the order of the walk, class by class; see `curves.collect_steps`.

    Attributes:
        start: (K + 1,) where each class begins.
        end: (K,) where it ends: before the next begins, where some of its pairs are beyond max_dets.
        position: (P,) place in the walk.
        inside: (P,) word of the detection.
        valid: (P,) word of the object.
        before: (A, P) detections in each area range up to there.
        bits: (A, P) words of the pair.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    position: NDArray[np.int32]
    inside: NDArray[np.uint16]
    valid: NDArray[np.uint16]
    before: NDArray[np.int32]
    bits: NDArray[np.uint64]


def collect_steps(matches: Matches, most: int) -> CurveSteps:
    """Walk the `most` surest detections of each image and class."""
    areas, classes, pairs = len(matches.rule.areas), len(matches.classes), len(matches.pair_row)
    pair_first = np.full(len(matches.detections), -1, np.int32)
    pair_first[matches.pair_row[::-1]] = np.arange(pairs - 1, -1, -1, dtype=np.int32)
    pair_valid = matches.valid[matches.pair_object]
    rank = np.empty(0, np.int32) if most == matches.rule.max_dets[-1] else matches.rank
    steps = CurveSteps(
        start=np.r_[0, np.cumsum(np.bincount(matches.object_label[matches.pair_object], minlength=classes))],
        end=np.empty(classes, np.int64),
        position=np.empty(pairs, np.int32),
        inside=np.empty(pairs, np.uint16),
        valid=np.empty(pairs, np.uint16),
        before=np.empty((areas, pairs), np.int32),
        bits=np.empty((areas, pairs), np.uint64),
    )

    def meet(part: NDArray[np.int32]) -> None:
        curves.collect_steps(
            part,
            matches.start,
            matches.row,
            rank,
            most,
            matches.inside,
            pair_first,
            matches.pair_row,
            pair_valid,
            matches.pair_bits,
            np.empty(areas, np.int32),
            *steps,
        )

    for_each(meet, _shares(np.diff(matches.start)))
    return steps


def compute_curves(matches: Matches, most: int, levels: NDArray[np.float64]) -> Curves:
    """What `Matches.curves` promises."""
    precision, _, recall = _draw(matches, most, levels, with_scores=False)
    return Curves(matches, most, levels, precision.transpose(2, 3, 1, 0), recall.transpose(2, 1, 0))


def collect_scores(drawn: Curves) -> NDArray[np.float64]:
    """What `Curves.score` promises."""
    _, scores, _ = _draw(drawn.matches, drawn.max_dets, drawn.levels, with_scores=True)
    return scores.transpose(2, 3, 1, 0)


def _draw(
    matches: Matches, most: int, levels: NDArray[np.float64], with_scores: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision and scores, (A, K, T, R), and recall, (A, K, T)."""
    steps = matches.steps(most)
    areas = len(matches.rule.areas)
    shape = (areas, len(matches.classes), len(matches.rule.iou_thresholds))
    precision, recall = np.empty((*shape, len(levels))), np.empty(shape)
    scores = np.empty((*shape, len(levels)) if with_scores else (0, 0, 0, 0))
    sizes = np.diff(steps.start)
    longest = int(sizes.max(initial=0)) + 1

    def draw(task: tuple[int, NDArray[np.int32]]) -> None:
        area, classes = task
        curves.compute_curves(
            area,
            classes,
            matches.start,
            matches.row,
            matches.detections.score,
            matches.positives,
            levels,
            *steps,
            np.empty(longest),
            np.empty(longest, np.int32),
            precision,
            scores,
            recall,
        )

    tasks = [(area, classes) for area in range(areas) for classes in _shares(sizes)]
    for_each(draw, tasks, threads=1 if sizes.sum() < WORTH_SHARING else None)
    return precision, scores, recall


def count_tp(matches: Matches) -> NDArray[np.int64]:
    """What `Matches.tp_count` promises."""
    rule = matches.rule
    count = np.zeros(
        (len(rule.max_dets), len(rule.areas), len(matches.classes), len(rule.iou_thresholds)), np.int64
    )
    curves.count_tp(
        matches.object_label[matches.pair_object],
        np.searchsorted(np.array(rule.max_dets), matches.pair_rank, side="right"),
        matches.valid[matches.pair_object],
        matches.pair_bits,
        count,
    )
    return np.cumsum(count, axis=0).swapaxes(2, 3)


def _shares(size: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    """The classes dealt to the threads, the largest first."""
    threads = thread_count() if size.sum() > WORTH_SHARING else 1
    falling = np.argsort(-size, kind="stable").astype(np.int32)
    return [np.ascontiguousarray(falling[turn::threads]) for turn in range(min(threads, len(falling)))]


def _count_sort(
    keys: NDArray[np.int32], rows: NDArray[np.int32] | None, size: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The rows (by default all) by ``keys[row]``, those of a negative key left out; and where each key begins."""
    rows = np.arange(len(keys), dtype=np.int32) if rows is None else rows
    order, start = np.empty(len(rows), np.int32), np.empty(size + 1, np.int64)
    kept = sorting.count_sort(keys, rows, start, order)
    return order[:kept], start


def _sorting_scratch(size: int) -> tuple[NDArray[Any], ...]:
    return (
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size, np.int32),
        np.empty(1 << sorting.DIGIT, np.int32),
    )


def _chunks(det_start: NDArray[np.int64], obj_start: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs of images of about the same work, several for each thread."""
    images = len(det_start) - 1
    work = det_start + obj_start
    pieces = 8 * thread_count() if work[-1] > WORTH_SHARING else 1
    cuts = np.searchsorted(work, np.linspace(0, work[-1], pieces + 1)[1:-1])
    edges = sorted({0, *cuts.tolist(), images})
    return list(pairwise(edges)) or [(0, 0)]


def _corners(xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G, 5) x1, y1, x2, y2, width * height."""
    x, y, width, height = xywh.T
    return np.stack([x, y, width + x, height + y, width * height], axis=1)


def _valid(truth: AnnotationTable, ranges: NDArray[np.float64]) -> NDArray[np.uint16]:
    """(G,) words whose bit a says that the object is asked for in area range a."""
    area = truth.area[:, None]
    within = (area >= ranges[:, 0]) & (area <= ranges[:, 1]) & ~(truth.crowd | truth.ignored)[:, None]
    valid = np.zeros(len(truth), np.uint16)
    for index in range(len(ranges)):
        valid |= within[:, index].astype(np.uint16) << index
    return valid
