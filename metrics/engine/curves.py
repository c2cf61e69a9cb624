"""Precision-recall curves and counts of true positives, from matched pairs.

A curve changes only at true positives. Up to a match, the detections that count are those whose own area is in the
range, corrected by the matched ones: a true positive counts whatever its area, and a detection that matched an ignored
object does not. So one count serves all thresholds, and a plain false positive costs one addition for all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.greedy import MatchArrays
from metrics.kernels.compile_cache import kernel
from metrics.kernels.threads import WORTH_SHARING, deal, for_each

RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
"""COCO's recall levels."""

EPSILON = np.spacing(1.0)
"""Added to the denominator of precision, as in pycocotools."""


class CurveSteps(NamedTuple):
    """The pairs of each class by falling score of their detections.

    Attributes:
        start: (K + 1,) where each class begins.
        end: (K,) where it ends: before the next begins, where some of its pairs are beyond max_dets.
        position: (P,) position of the detection in the ranked order.
        inside: (P,) word whose bit a tells whether the detection's own area is in area range a.
        valid: (P,) word whose bit a tells whether the object is valid in area range a.
        before: (A, P) number of detections in each area range up to this one, inclusive.
        bits: (A, P) words of the thresholds at which they match.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    position: NDArray[np.int32]
    inside: NDArray[np.uint16]
    valid: NDArray[np.uint16]
    before: NDArray[np.int32]
    bits: NDArray[np.uint64]


class RankedDetections(NamedTuple):
    """Detections by class and falling score.

    Attributes:
        start: (K + 1,) where each class begins in `row`.
        row: (D,) rows of the detections.
        score: (N,) by row.
    """

    start: NDArray[np.int64]
    row: NDArray[np.int32]
    score: NDArray[np.float64]


class CurveArrays(NamedTuple):
    """Curves of all classes.

    Attributes:
        precision: (A, K, T, R) best precision at each recall level or beyond; NaN where no object is valid.
        scores: (A, K, T, R) score at which each recall level is first reached; empty where not requested.
        recall: (A, K, T) recall of all detections.
    """

    precision: NDArray[np.float64]
    scores: NDArray[np.float64]
    recall: NDArray[np.float64]


def collect_steps(
    arrays: MatchArrays, pair_label: NDArray[np.int32], rank: NDArray[np.int32], max_dets: int
) -> CurveSteps:
    """Put the pairs of the `max_dets` highest-scoring detections of each image and class in ranked order.

    Args:
        arrays: of `metrics.engine.greedy.match_columns`.
        pair_label: (P,) class of each pair.
        rank: (D,) rank of each ranked detection in its image and class; empty where none is beyond `max_dets`.
        max_dets: detections of this rank or beyond are left out.
    """
    classes, (pairs, areas) = len(arrays.start) - 1, arrays.pair_bits.shape
    pair_first = np.full(len(arrays.inside), -1, np.int32)
    pair_first[arrays.pair_row[::-1]] = np.arange(pairs - 1, -1, -1, dtype=np.int32)
    pair_valid = arrays.valid[arrays.pair_object]
    steps = CurveSteps(
        start=np.r_[0, np.cumsum(np.bincount(pair_label, minlength=classes))],
        end=np.empty(classes, np.int64),
        position=np.empty(pairs, np.int32),
        inside=np.empty(pairs, np.uint16),
        valid=np.empty(pairs, np.uint16),
        before=np.empty((areas, pairs), np.int32),
        bits=np.empty((areas, pairs), np.uint64),
    )

    source = _StepSource(arrays, rank, max_dets, pair_first, pair_valid)

    def collect(share: NDArray[np.int32]) -> None:
        _collect_steps(share, source, np.empty(areas, np.int32), steps)

    for_each(collect, deal(np.diff(arrays.start)))
    return steps


def compute_curves(
    steps: CurveSteps,
    detections: RankedDetections,
    positives: NDArray[np.int64],
    levels: NDArray[np.float64],
    num_thresholds: int,
    with_scores: bool,
) -> CurveArrays:
    """Compute precision over recall as pycocotools does.

    Args:
        steps: of `collect_steps`.
        detections: in ranked order.
        positives: (A, K) number of valid objects.
        levels: (R,) rising recall levels.
        num_thresholds: T.
        with_scores: whether to compute the scores.
    """
    shape = (*positives.shape, num_thresholds)
    curves = CurveArrays(
        np.empty((*shape, len(levels))),
        np.empty((*shape, len(levels)) if with_scores else (0, 0, 0, 0)),
        np.empty(shape),
    )
    sizes = np.diff(steps.start)
    longest = int(sizes.max(initial=0)) + 1
    source = _CurveSource(steps, detections, positives, levels)

    def compute(task: tuple[int, NDArray[np.int32]]) -> None:
        area, share = task
        scratch = _TruePositives(np.empty(longest), np.empty(longest, np.int32))
        _compute_curves(area, share, source, scratch, curves)

    tasks = [(area, share) for area in range(len(positives)) for share in deal(sizes)]
    for_each(compute, tasks, threads=1 if sizes.sum() < WORTH_SHARING else None)
    return curves


def collect_scores(
    steps: CurveSteps,
    detections: RankedDetections,
    positives: NDArray[np.int64],
    levels: NDArray[np.float64],
    num_thresholds: int,
) -> NDArray[np.float64]:
    """The scores of `compute_curves` alone."""
    return compute_curves(steps, detections, positives, levels, num_thresholds, with_scores=True).scores


def count_tp(
    arrays: MatchArrays, pair_label: NDArray[np.int32], max_dets: NDArray[np.int64], num_thresholds: int
) -> NDArray[np.int64]:
    """Count the true positives up to each of `max_dets`.

    Args:
        arrays: of `metrics.engine.greedy.match_columns`.
        pair_label: (P,) class of each pair.
        max_dets: (M,) rising.
        num_thresholds: T.

    Returns:
        (M, A, T, K).
    """
    areas, classes = arrays.pair_bits.shape[1], len(arrays.start) - 1
    count = np.zeros((len(max_dets), areas, classes, num_thresholds), np.int64)
    _count_tp(
        pair_label,
        np.searchsorted(max_dets, arrays.pair_rank, side="right"),
        arrays.valid[arrays.pair_object],
        arrays.pair_bits,
        count,
    )
    return np.cumsum(count, axis=0).swapaxes(2, 3)


def average_precisions(
    start: NDArray[np.int64],
    tp: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    positives: NDArray[np.int64],
    objects: float | None = None,
) -> NDArray[np.float64]:
    """Average precision of each class at one IoU threshold.

    Args:
        start: (K + 1,) where each class begins.
        tp: (D,) whether each detection is a true positive, in ranked order.
        ignored: (D,) whether it is ignored.
        positives: (K,) number of valid objects.
        objects: number of objects per class for Hoiem's normalized precision, R N / (R N + F) with recall R and F false
            positives (Hoiem et al. 2012, Diagnosing error in object detectors, section 2.2); by default `positives`,
            which is COCO's average precision.

    Returns:
        (K,) NaN where no object is valid, 0 where none is found.
    """
    values = np.full(len(positives), np.nan)
    counted = np.cumsum(~ignored)
    for label in np.flatnonzero(positives):
        first, last = start[label], start[label + 1]
        hits = first + np.flatnonzero(tp[first:last])
        if not len(hits):
            values[label] = 0.0
            continue
        before = counted[first - 1] if first else 0
        num_tp = np.arange(1, len(hits) + 1)
        num_fp = counted[hits] - before - num_tp
        recall = num_tp / positives[label]
        weighted = num_tp if objects is None else recall * objects
        precision = np.maximum.accumulate((weighted / (weighted + num_fp + EPSILON))[::-1])[::-1]
        reached = np.searchsorted(recall, RECALL_LEVELS, side="left")
        values[label] = np.append(precision, 0.0)[reached].mean()
    return values


class _StepSource(NamedTuple):
    """What `_collect_steps` reads.

    Attributes:
        arrays: see `collect_steps`, like `rank` and `max_dets`.
        rank: (D,) or empty.
        max_dets: of an image and class.
        pair_first: (N,) each detection's first pair, or -1; its others follow.
        pair_valid: (P,) word of each pair's object.
    """

    arrays: MatchArrays
    rank: NDArray[np.int32]
    max_dets: int
    pair_first: NDArray[np.int32]
    pair_valid: NDArray[np.uint16]


class _CurveSource(NamedTuple):
    """What `_compute_curves` reads; see `compute_curves`."""

    steps: CurveSteps
    detections: RankedDetections
    positives: NDArray[np.int64]
    levels: NDArray[np.float64]


class _TruePositives(NamedTuple):
    """Memory for the true positives of a class, and one more: precision at each, and its ranked position."""

    precision: NDArray[np.float64]
    position: NDArray[np.int32]


@kernel
def _collect_steps(
    classes: NDArray[np.int32], source: _StepSource, passed: NDArray[np.int32], steps: CurveSteps
) -> int:
    """Write the steps of some classes.

    Args:
        classes: those to write; other threads may write the others at the same time.
        source: is read.
        passed: (A,) scratch.
        steps: `start` is read, the others are written.
    """
    arrays, rank, max_dets = source.arrays, source.rank, source.max_dets
    pair_first, pair_valid = source.pair_first, source.pair_valid
    areas = steps.before.shape[0]
    for label in classes:
        step = int(steps.start[label])
        passed[:] = 0
        for position in range(arrays.start[label], arrays.start[label + 1]):
            if rank.size > 0 and rank[position] >= max_dets:
                continue
            detection = arrays.row[position]
            word = int(arrays.inside[detection])
            for area in range(areas):
                passed[area] += (word >> area) & 1
            pair = pair_first[detection]
            while 0 <= pair < arrays.pair_row.size and arrays.pair_row[pair] == detection:
                steps.position[step] = position
                steps.inside[step] = arrays.inside[detection]
                steps.valid[step] = pair_valid[pair]
                for area in range(areas):
                    steps.before[area, step] = passed[area]
                    steps.bits[area, step] = arrays.pair_bits[pair, area]
                step += 1
                pair += 1
        steps.end[label] = step
    return len(classes)


@kernel
def _compute_curves(
    area: int, classes: NDArray[np.int32], source: _CurveSource, tp: _TruePositives, curves: CurveArrays
) -> int:
    """Write the curves of some classes in an area range.

    Args:
        area: index of the range.
        classes: those to write; other threads may write the others at the same time.
        source: is read.
        tp: scratch for the class with most steps.
        curves: ``[area, label]`` of each array is written.
    """
    steps, detections = source.steps, source.detections
    positives, levels = source.positives, source.levels
    start, row = detections.start, detections.row
    precision, scores, recall = curves.precision, curves.scores, curves.recall
    thresholds = recall.shape[2]
    for label in classes:
        valid_objects = positives[area, label]
        if valid_objects == 0:
            precision[area, label] = np.nan
            if scores.size > 0:
                scores[area, label] = np.nan
            recall[area, label] = np.nan
            continue
        for threshold in range(thresholds):
            bit = np.uint64(threshold)
            count = 0
            correction = 0
            for step in range(steps.start[label], steps.end[label]):
                # without branches: a pair that does not match at this threshold has no effect, and its values are
                # overwritten
                paired = int(steps.bits[area, step] >> bit) & 1
                valid = (int(steps.valid[step]) >> area) & 1
                own = (int(steps.inside[step]) >> area) & 1
                correction += paired * (valid - own)
                tp.precision[count] = (count + 1) / (steps.before[area, step] + correction + EPSILON)
                tp.position[count] = steps.position[step]
                count += paired & valid
            recall[area, label, threshold] = count / valid_objects
            for index in range(count - 1, 0, -1):
                tp.precision[index - 1] = max(tp.precision[index - 1], tp.precision[index])
            level = 0
            while level < levels.size and levels[level] <= 0:  # reached without any detection
                precision[area, label, threshold, level] = tp.precision[0] if count > 0 else 0.0
                if scores.size > 0:
                    is_empty = start[label + 1] == start[label]
                    scores[area, label, threshold, level] = (
                        0.0 if is_empty else detections.score[row[start[label]]]
                    )
                level += 1
            for index in range(count):
                reached = (index + 1) / valid_objects
                while level < levels.size and levels[level] <= reached:
                    precision[area, label, threshold, level] = tp.precision[index]
                    if scores.size > 0:
                        scores[area, label, threshold, level] = detections.score[row[tp.position[index]]]
                    level += 1
            precision[area, label, threshold, level:] = 0.0
            if scores.size > 0:
                scores[area, label, threshold, level:] = 0.0
    return len(classes)


@kernel
def _count_tp(
    pair_label: NDArray[np.int32],
    pair_cut: NDArray[np.int64],
    pair_valid: NDArray[np.uint16],
    pair_bits: NDArray[np.uint64],
    count: NDArray[np.int64],
) -> int:
    """Count the true positives of each cut.

    Args:
        pair_label: (P,) class.
        pair_cut: (P,) index of the first of `max_dets` that is above the detection's rank.
        pair_valid: (P,) word of each pair's object.
        pair_bits: (P, A).
        count: (M, A, K, T), zeros; becomes the number of true positives of that cut and none before.
    """
    for pair in range(pair_label.size):
        for area in range(pair_bits.shape[1]):
            valid = (int(pair_valid[pair]) >> area) & 1
            word = pair_bits[pair, area]
            for threshold in range(count.shape[3]):
                count[pair_cut[pair], area, pair_label[pair], threshold] += valid & int(
                    word >> np.uint64(threshold)
                )
    return pair_label.size
