"""Kernels for precision over recall in many bootstrap replicates at once, all of which walk the same ranking.

Average precision is computed backwards. Starting from the totals, each detection is subtracted again; the running maximum of
precision is the envelope, and the recall levels between the recall after and before a true positive are those at which
the envelope is read. Nothing is stored per detection, and no level is searched for.

`metrics.resampling.lanes` describes lanes, and how loops over them are written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel
from metrics.resampling.lanes import LANES

EPSILON = np.spacing(1.0)
"""Added to the denominator of precision, as in pycocotools."""

ROUNDING = 1e-9
"""Less than the distance between a recall and a level that it does not reach, for fewer than ten million objects."""


class RankingSteps(NamedTuple):
    """A ranking without the detections that change no curve.

    Detections that are ignored at all thresholds are left out, and so are those after the last true positive of a class. A
    step is a detection that changes more than the count of all thresholds: a true positive, or ignored, at some threshold. If
    an image has further detections of the same class and score next to a true positive, they form one step together: the
    copies of the image follow each other, each with all of them.

    Attributes:
        start: (K + 1,) class k's detections are ``start[k]:start[k + 1]``.
        image: (E,) image of each detection.
        tp, ignored: (E,) words as in `RankedArrays`.
        step_start: (K + 1,) class k's steps.
        step_first, step_last: (S,) a step's detections are ``first:last``.
    """

    start: NDArray[np.int64]
    image: NDArray[np.int32]
    tp: NDArray[np.uint64]
    ignored: NDArray[np.uint64]
    step_start: NDArray[np.int64]
    step_first: NDArray[np.int64]
    step_last: NDArray[np.int64]


class CurveScratch(NamedTuple):
    """Memory that `average_precisions` works in.

    Attributes:
        counted: (LANES,) detections up to here that count at a threshold, without `correction`.
        weight: (LANES,) weight of the current detection.
        before: (LANES,) `counted` up to the current detection.
        correction: (T, LANES) to add to `counted` at each threshold.
        best: (T, LANES) the envelope: highest precision from here on.
        reached: (T, LANES) number of levels that the recall up to here reaches.
        tp: (T, LANES) true positives up to here.
    """

    counted: NDArray[np.int32]
    weight: NDArray[np.float64]
    before: NDArray[np.float64]
    correction: NDArray[np.float64]
    best: NDArray[np.float64]
    reached: NDArray[np.float64]
    tp: NDArray[np.float64]


class EnvelopeScratch(NamedTuple):
    """Memory that `precision_envelopes` works in.

    Attributes:
        counted: (LANES,) detections up to here.
        tp: (LANES,) true positives up to here.
        best: (LANES,) highest precision from here on.
        reached: (LANES,) number of levels that the recall up to here reaches.
        still: (LANES,) number of levels that the recall before the current detection reaches.
    """

    counted: NDArray[np.int32]
    tp: NDArray[np.float64]
    best: NDArray[np.float64]
    reached: NDArray[np.float64]
    still: NDArray[np.float64]


def make_curve_scratch(thresholds: int) -> CurveScratch:
    """Allocate memory for `average_precisions`.

    Args:
        thresholds: T.
    """
    return CurveScratch(np.empty(LANES, np.int32), *np.empty((2, LANES)), *np.empty((4, thresholds, LANES)))


@kernel
def levels_reached(tp: float, positives: float, steps: float) -> float:
    """Return how many of the recall levels 0, 1 / steps ... 1 are reached; none without true positives.

    A recall that equals a level in exact arithmetic may be below it in floating point: ``35 * 0.01 > 35 / 100``. pycocotools
    compares these two floats, and so does this function.
    """
    recall = tp / positives
    level = float(np.floor(recall * steps + ROUNDING))
    level = level - 1.0 if level * (1.0 / steps) > recall else level
    return level + 1.0 if tp > 0 else 0.0


@kernel
def average_precisions(
    weights: NDArray[np.uint8],
    positives: NDArray[np.float64],
    steps: RankingSteps,
    levels: int,
    scratch: CurveScratch,
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> int:
    """Compute average precision and final recall of each class and threshold in each replicate.

    Args:
        weights: (I, LANES).
        positives: (K, LANES) from `count_objects`.
        steps: of a ranking.
        levels: number of recall levels 0 ... 1 at which precision is averaged; 0: all recalls, the area under the envelope.
        scratch: from `make_curve_scratch`.
        precision: (K, T, LANES) average precision; written. NaN where a replicate has no object of the class.
        recall: (K, T, LANES) final recall; written. NaN as `precision`.
    """
    image, is_tp, is_ignored = steps.image, steps.tp, steps.ignored
    counted, weight, before = scratch.counted, scratch.weight, scratch.before
    correction, best, reached, tp = scratch.correction, scratch.best, scratch.reached, scratch.tp
    thresholds = precision.shape[1]
    intervals = levels - 1.0
    for label in range(steps.start.size - 1):
        counted[:] = 0
        correction[:] = 0.0
        best[:] = 0.0
        tp[:] = 0.0
        area = precision[label]
        area[:] = 0.0
        objects = positives[label]

        for index in range(steps.start[label], steps.start[label + 1]):
            row = weights[image[index]]
            for lane in range(LANES):
                counted[lane] += row[lane]
        for step in range(steps.step_start[label], steps.step_start[label + 1]):
            for index in range(steps.step_first[step], steps.step_last[step]):
                row = weights[image[index]]
                for threshold in range(thresholds):
                    bit = np.uint64(1) << np.uint64(threshold)
                    if is_tp[index] & bit:
                        sums = tp[threshold]
                        for lane in range(LANES):
                            sums[lane] += row[lane]
                    elif is_ignored[index] & bit:
                        sums = correction[threshold]
                        for lane in range(LANES):
                            sums[lane] -= row[lane]
        for threshold in range(thresholds):
            for lane in range(LANES):
                recall[label, threshold, lane] = tp[threshold, lane] / objects[lane]
                reached[threshold, lane] = levels_reached(tp[threshold, lane], objects[lane], intervals)

        index = steps.start[label + 1] - 1
        for step in range(steps.step_start[label + 1] - 1, steps.step_start[label] - 1, -1):
            while index >= steps.step_last[step]:
                row = weights[image[index]]
                for lane in range(LANES):
                    counted[lane] -= row[lane]
                index -= 1
            if steps.step_last[step] - steps.step_first[step] == 1:
                row = weights[image[index]]
                for lane in range(LANES):
                    weight[lane] = row[lane]
                    before[lane] = counted[lane]
                    counted[lane] -= row[lane]
                for threshold in range(thresholds):
                    bit = np.uint64(1) << np.uint64(threshold)
                    shift = correction[threshold]
                    if is_tp[index] & bit:
                        left, top, total, span = (
                            tp[threshold],
                            best[threshold],
                            area[threshold],
                            reached[threshold],
                        )
                        for lane in range(LANES):
                            here = left[lane] / (before[lane] + shift[lane] + EPSILON)
                            top[lane] = here if here > top[lane] else top[lane]
                        for lane in range(LANES):
                            left[lane] -= weight[lane]
                        if levels > 0:
                            for lane in range(LANES):
                                still = levels_reached(left[lane], objects[lane], intervals)
                                total[lane] += top[lane] * (span[lane] - still)
                                span[lane] = still
                        else:
                            for lane in range(LANES):
                                total[lane] += top[lane] * weight[lane]
                    elif is_ignored[index] & bit:
                        for lane in range(LANES):
                            shift[lane] += weight[lane]
                index -= 1
            else:  # equal scores in one image: its copies come one after another, each with all of them
                for lane in range(LANES):
                    for _ in range(weights[image[index], lane]):
                        for tied in range(steps.step_last[step] - 1, steps.step_first[step] - 1, -1):
                            for threshold in range(thresholds):
                                bit = np.uint64(1) << np.uint64(threshold)
                                if is_tp[tied] & bit:
                                    here = tp[threshold, lane] / (
                                        counted[lane] + correction[threshold, lane] + EPSILON
                                    )
                                    best[threshold, lane] = max(best[threshold, lane], here)
                                    tp[threshold, lane] -= 1.0
                                    if levels > 0:
                                        still = levels_reached(tp[threshold, lane], objects[lane], intervals)
                                        span = reached[threshold, lane] - still
                                        reached[threshold, lane] = still
                                    else:
                                        span = 1.0
                                    area[threshold, lane] += best[threshold, lane] * span
                                elif is_ignored[tied] & bit:
                                    correction[threshold, lane] += 1.0
                            counted[lane] -= 1
                index = steps.step_first[step] - 1

        for threshold in range(thresholds):
            for lane in range(LANES):
                whole = float(levels) if levels > 0 else objects[lane]
                area[threshold, lane] = area[threshold, lane] / whole if objects[lane] > 0 else np.nan
    return steps.start.size - 1


@kernel
def precision_envelopes(
    weights: NDArray[np.uint8],
    positives: NDArray[np.float64],
    steps: RankingSteps,
    scale: NDArray[np.float64],
    scratch: EnvelopeScratch,
    precision: NDArray[np.float64],
) -> int:
    """Compute the envelope of precision at the recall levels of each class in each replicate at one threshold.

    Args:
        weights: (I, LANES).
        positives: (K, LANES) from `count_objects`.
        steps: of a ranking with one threshold.
        scale: (K, LANES) how often a true positive counts in precision: 1, or for Hoiem's normalized precision the assumed
            number of objects divided by `positives`.
        scratch: memory.
        precision: (K, R, LANES) at recall 0 ... 1; 0 beyond the final recall; written. NaN where a replicate has no object of
            the class.
    """
    image, is_tp = steps.image, steps.tp
    counted, tp, best = scratch.counted, scratch.tp, scratch.best
    reached, still = scratch.reached, scratch.still
    intervals = precision.shape[1] - 1.0
    for label in range(steps.start.size - 1):
        counted[:] = 0
        tp[:] = 0.0
        best[:] = 0.0
        objects, factor, envelope = positives[label], scale[label], precision[label]
        envelope[:] = 0.0
        for index in range(steps.start[label], steps.start[label + 1]):
            row = weights[image[index]]
            for lane in range(LANES):
                counted[lane] += row[lane]
            if is_tp[index]:
                for lane in range(LANES):
                    tp[lane] += row[lane]
        for lane in range(LANES):
            reached[lane] = levels_reached(tp[lane], objects[lane], intervals)
        index = steps.start[label + 1] - 1
        for step in range(steps.step_start[label + 1] - 1, steps.step_start[label] - 1, -1):
            while index >= steps.step_last[step]:
                row = weights[image[index]]
                for lane in range(LANES):
                    counted[lane] -= row[lane]
                index -= 1
            row = weights[image[index]]
            if steps.step_last[step] - steps.step_first[step] == 1:
                # Of the copies of a true positive the last one has the highest precision, since all have the same false positives.
                if is_tp[index]:
                    for lane in range(LANES):
                        weighted = tp[lane] * factor[lane]
                        here = weighted / (weighted + (counted[lane] - tp[lane]) + EPSILON)
                        best[lane] = here if here > best[lane] else best[lane]
                    for lane in range(LANES):
                        tp[lane] -= row[lane]
                    for lane in range(LANES):
                        still[lane] = levels_reached(tp[lane], objects[lane], intervals)
                    for lane in range(LANES):
                        for level in range(int(still[lane]), int(reached[lane])):
                            envelope[level, lane] = best[lane]
                        reached[lane] = still[lane]
                for lane in range(LANES):
                    counted[lane] -= row[lane]
                index -= 1
            else:  # equal scores in one image: its copies come one after another, each with all of them
                for lane in range(LANES):
                    for _ in range(row[lane]):
                        for tied in range(steps.step_last[step] - 1, steps.step_first[step] - 1, -1):
                            if is_tp[tied]:
                                weighted = tp[lane] * factor[lane]
                                here = weighted / (weighted + (counted[lane] - tp[lane]) + EPSILON)
                                best[lane] = max(best[lane], here)
                                tp[lane] -= 1.0
                                left = levels_reached(tp[lane], objects[lane], intervals)
                                for level in range(int(left), int(reached[lane])):
                                    envelope[level, lane] = best[lane]
                                reached[lane] = left
                            counted[lane] -= 1
                index = steps.step_first[step] - 1
        for lane in range(LANES):
            if objects[lane] == 0:
                envelope[:, lane] = np.nan
    return steps.start.size - 1
