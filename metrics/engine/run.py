"""Calls the kernels: prepares their columns and scratch, shares the images and classes between threads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine import curves, greedy, overlap, sorting
from metrics.engine.threads import for_each, thread_count
from metrics.matching import Curves, Matches, MatchRule
from metrics.tables import AnnotationTable, DetectionTable

NEARLY_ONE = 1 - 1e-10
"""The reference's highest threshold: an IoU that rounding left below 1 still is 1."""

WORTH_SHARING = 4096
"""Fewer boxes than this are matched before a second thread has begun."""


def match_tables(truth: AnnotationTable, found: DetectionTable, rule: MatchRule) -> Matches:
    """What `metrics.matching.match` promises; the tables have the same catalog."""
    images = len(truth.catalog.image_ids)
    classes = len(truth.catalog.classes) if rule.by_class else 1
    ranges = np.array(list(rule.area_ranges.values()), np.float64)
    label = found.label if rule.by_class else np.zeros_like(found.label)
    box = np.ascontiguousarray(found.xywh)
    bits = np.ascontiguousarray(found.score).view(np.uint64)

    rows = np.arange(len(found), dtype=np.int32)
    if not rule.by_class:  # the reference chains the classes of an image, which settles ties between them
        rows, _ = _count_sort(found.label, rows, len(truth.catalog.classes))
    det_order, det_start = _count_sort(found.image, rows, images)

    obj_rows = np.arange(len(truth), dtype=np.int32)
    obj_rows, _ = _count_sort(truth.label, obj_rows, len(truth.catalog.classes))
    obj_rows, obj_start = _count_sort(truth.image, obj_rows, images)
    objects = _objects(truth.xywh)
    asked = _asked(truth, ranges)
    work = _Work(
        most=rule.max_dets[-1],
        det=(det_start, det_order, label, box, bits),
        obj=(
            obj_start,
            (truth.label if rule.by_class else np.zeros_like(truth.label))[obj_rows],
            objects[obj_rows],
            truth.crowd[obj_rows],
            asked[obj_rows],
        ),
        thresholds=np.minimum(np.array(rule.iou_thresholds), NEARLY_ONE),
        classes=classes,
        areas=len(ranges),
        left_out=np.zeros(len(found), np.bool_),
    )
    chunks = _chunks(det_start, obj_start)
    parts = for_each(work.match, chunks)
    pair_row, pair_object, pair_rank, pair_iou, pair_bits = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )

    kept = np.where(work.left_out, np.int32(-1), label) if work.left_out.any() else label
    walk, start = _count_sort(kept, det_order, classes)
    _sort_walk(start, walk, bits)
    inside = np.empty(len(found), np.uint16)
    curves.inside_ranges(box, ranges, inside)
    return Matches(
        rule=rule,
        truth=truth,
        found=found,
        start=start,
        row=walk,
        asked=asked,
        inside=inside,
        pair_row=pair_row,
        pair_object=obj_rows[pair_object],
        pair_rank=pair_rank,
        pair_iou=pair_iou,
        pair_bits=pair_bits,
    )


class _Work(NamedTuple):
    """What all threads read while they match, and the one column that they all write."""

    most: int
    det: tuple[
        NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.uint64]
    ]
    obj: tuple[
        NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.uint64]
    ]
    thresholds: NDArray[np.float64]
    classes: int
    areas: int
    left_out: NDArray[np.bool_]

    def match(self, chunk: tuple[int, int]) -> tuple[NDArray[np.generic], ...]:
        """Pairs of the images ``chunk[0]:chunk[1]``: row, object, rank, IoU, bits."""
        first, last = chunk
        det_count = int(np.diff(self.det[0][first : last + 1]).max(initial=0))
        obj_counts = np.diff(self.obj[0][first : last + 1])
        obj_count = int(obj_counts.max(initial=0))
        scratch = (
            np.zeros(self.classes, np.int32),
            np.zeros(self.classes, np.int32),
            np.empty(det_count, np.int32),
            np.empty(det_count, np.uint64),
            np.empty(det_count, np.int32),
            np.empty(det_count, np.uint64),
            np.empty(1 << sorting.DIGIT, np.int32),
            np.empty(overlap.FRAME, np.float64),
            np.empty(obj_count + 2, np.int32),
            np.empty(obj_count, np.int32),
            np.empty(obj_count, np.int32),
            np.empty(obj_count, np.int32),
            np.empty(obj_count, np.float64),
            np.empty((obj_count, self.areas), np.uint64),
            np.empty((obj_count, self.areas), np.uint64),
        )
        room = int(obj_counts.sum()) + obj_count
        parts: list[tuple[NDArray[np.generic], ...]] = []
        while True:
            pairs = np.zeros(1, np.int64)
            columns = (
                np.empty(room, np.int32),
                np.empty(room, np.int32),
                np.empty(room, np.int32),
                np.empty(room, np.float64),
                np.empty((room, self.areas), np.uint64),
            )
            reached = greedy.match_images(
                first,
                last,
                self.most,
                *self.det,
                *self.obj,
                self.thresholds,
                *scratch,
                self.left_out,
                *columns,
                pairs,
            )
            parts.append(tuple(column[: pairs[0]] for column in columns))
            if reached == last:
                return tuple(np.concatenate(same) for same in zip(*parts, strict=True))
            first, room = reached, 2 * room  # many detections share objects (crowds): more pairs than objects


def draw_curves(matches: Matches, most: int, levels: NDArray[np.float64]) -> Curves:
    """What `Matches.curves` promises, at the `most` surest detections of each image and class."""
    areas, thresholds, classes = (
        len(matches.rule.areas),
        len(matches.rule.iou_thresholds),
        len(matches.classes),
    )
    rank = np.empty(0, np.int32) if most == matches.rule.max_dets[-1] else matches.rank
    events, start = _events(matches, rank, most)
    precision = np.empty((areas, thresholds, len(levels), classes))
    scores = np.empty_like(precision)
    recall = np.empty((areas, thresholds, classes))
    levels = np.ascontiguousarray(levels, np.float64)

    def draw(label: int) -> None:
        size = start[label + 1] - start[label]
        curves.class_curves(
            label,
            matches.start[label],
            matches.start[label + 1],
            start[label],
            start[label + 1],
            *events,
            matches.row,
            matches.inside,
            matches.asked,
            matches.pair_object,
            matches.pair_bits,
            matches.found.score,
            matches.positives,
            levels,
            np.empty(size, np.float64),
            np.empty(size, np.int32),
            precision,
            scores,
            recall,
        )

    for_each(draw, range(classes))
    return Curves(levels, *(np.moveaxis(column, 0, -1) for column in (precision, scores, recall)))


def count_found(matches: Matches) -> NDArray[np.int64]:
    """What `Matches.found_count` promises."""
    rule = matches.rule
    shape = (len(rule.max_dets), len(rule.areas), len(rule.iou_thresholds), len(matches.classes))
    count = np.zeros(shape, np.int64)
    label = matches.object_label[matches.pair_object]
    cut = np.searchsorted(np.array(rule.max_dets), matches.pair_rank, side="right")
    for area in range(shape[1]):
        asked = matches.asked[matches.pair_object] >> np.uint64(area) & np.uint64(1) == 1
        for threshold in range(shape[2]):
            chosen = asked & (matches.pair_bits[:, area] >> np.uint64(threshold) & np.uint64(1) == 1)
            np.add.at(count[:, area, threshold], (cut[chosen], label[chosen]), 1)
    return np.cumsum(count, axis=0)


def _events(
    matches: Matches, rank: NDArray[np.int32], most: int
) -> tuple[tuple[NDArray[np.int32], ...], NDArray[np.int64]]:
    """Pairs in the order of the walk, as `curves.meet_pairs` gives them, and where each class begins."""
    pairs, areas = len(matches.pair_row), len(matches.rule.areas)
    pair_first = np.full(len(matches.found), -1, np.int32)
    pair_first[matches.pair_row[::-1]] = np.arange(pairs - 1, -1, -1, dtype=np.int32)
    event_pair, event_position = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    event_before = np.empty((pairs, areas), np.int32)
    start = np.zeros(len(matches.classes) + 1, np.int64)
    passed = np.empty(areas, np.int32)
    for label in range(len(matches.classes)):
        start[label + 1] = curves.meet_pairs(
            matches.start[label],
            matches.start[label + 1],
            matches.row,
            matches.inside,
            rank,
            most,
            pair_first,
            matches.pair_row,
            start[label],
            event_pair,
            event_position,
            event_before,
            passed,
        )
    return (event_pair, event_position, event_before), start


def _count_sort(
    keys: NDArray[np.int32], rows: NDArray[np.int32], size: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    order, start = np.empty(len(rows), np.int32), np.empty(size + 1, np.int64)
    kept = sorting.count_sort(np.ascontiguousarray(keys), rows, start, order)
    return order[:kept], start


def _sort_walk(start: NDArray[np.int64], walk: NDArray[np.int32], bits: NDArray[np.uint64]) -> None:
    """Sort each class of the walk by falling score, in place; the largest classes go first."""
    keys, other_keys = np.empty(len(walk), np.uint64), np.empty(len(walk), np.uint64)
    other_rows = np.empty_like(walk)
    by_size = np.argsort(-np.diff(start)).astype(np.int32)

    def sort(classes: NDArray[np.int32]) -> None:
        count = np.empty(1 << sorting.DIGIT, np.int32)
        sorting.sort_classes(start, classes, bits, walk, keys, other_keys, other_rows, count)

    for_each(sort, [by_size[part :: thread_count()] for part in range(thread_count())])


def _chunks(det_start: NDArray[np.int64], obj_start: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs of images of about the same work, several for each thread."""
    images = len(det_start) - 1
    work = det_start + obj_start
    pieces = 8 * thread_count() if work[-1] > WORTH_SHARING else 1
    cuts = np.searchsorted(work, np.linspace(0, work[-1], pieces + 1)[1:-1])
    edges = np.unique(np.r_[0, cuts, images]).tolist()
    return list(zip(edges[:-1], edges[1:], strict=True)) or [(0, 0)]


def _objects(xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """(G, 5) x1, y1, x2, y2, width * height."""
    x, y, width, height = xywh.T
    return np.stack([x, y, width + x, height + y, width * height], axis=1)


def _asked(truth: AnnotationTable, ranges: NDArray[np.float64]) -> NDArray[np.uint64]:
    """(G,) words whose bit a says that the object is asked for in area range a."""
    area = truth.area[:, None]
    within = (area >= ranges[:, 0]) & (area <= ranges[:, 1]) & ~(truth.crowd | truth.ignored)[:, None]
    words: NDArray[np.uint64] = within.astype(np.uint64) << np.arange(len(ranges), dtype=np.uint64)
    return words.sum(axis=1, dtype=np.uint64)
