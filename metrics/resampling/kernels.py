"""Kernels that measure many resamples at once: a lane is a resample, and each walks the same ranked detections.

Matching is image by image, so an image that counts twice changes no match: its detections only count twice. All that
differs from one resample to another is by how much each detection raises the counts, and that is a row of small
numbers, one for each lane, read from a table that fits into the second cache.

Precision over recall is walked from behind. From the totals each detection is taken away again; a running greatest
precision is then the envelope, and between the recall after a true positive and the recall before it lie the levels
at which it is read. Nothing is stored for each detection, and no level is looked up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

LANES = 64
"""Resamples that are measured side by side: whole vector registers, and weights of 5,000 images in 320 kB."""

EPSILON = np.spacing(1.0)
"""What the reference adds to a count before it divides by it."""

NEVER = 1e-9
"""Less than any distance of a recall from a level that it misses, for fewer than ten million objects."""


@kernel
def levels_reached(true: float, positives: float, steps: float) -> float:
    """How many of the recall levels 0, 1 / steps ... 1 are reached by `true` of `positives`; none by nothing.

    Where the recall is a level in arithmetic, floating point may see it below: ``35 * 0.01 > 35 / 100``. The reference
    compares these two floats, and so does this.
    """
    recall = true / positives
    level = float(np.floor(recall * steps + NEVER))
    level = level - 1.0 if level * (1.0 / steps) > recall else level
    return level + 1.0 if true > 0 else 0.0


@kernel
def weigh_objects(
    weights: NDArray[np.uint8],
    start: NDArray[np.int64],
    image: NDArray[np.int32],
    count: NDArray[np.int32],
    positives: NDArray[np.float64],
) -> int:
    """Objects of each class in each resample.

    Args:
        weights: (I, LANES).
        start: (K + 1,) where each class begins in `image`.
        image: (G,) of each object.
        count: (LANES,) scratch.
        positives: (K, LANES); written.
    """
    for label in range(start.size - 1):
        count[:] = 0
        for index in range(start[label], start[label + 1]):
            for lane in range(LANES):
                count[lane] += weights[image[index], lane]
        for lane in range(LANES):
            positives[label, lane] = count[lane]
    return start.size - 1


@kernel
def weigh_detections(
    weights: NDArray[np.uint8],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    image: NDArray[np.int32],
    true: NDArray[np.uint64],
    ignored: NDArray[np.uint64],
    threshold: int,
    found: NDArray[np.float64],
    false: NDArray[np.float64],
) -> int:
    """True and false positives of each class, in each resample, at one threshold.

    Args:
        weights: (I, LANES).
        first: (K,) where each class's detections that are asked about begin,
        last: (K,) and where they end.
        image: (D,) as in `Ranking`.
        true: (D,) likewise.
        ignored: (D,) likewise.
        threshold: which of the ranking's.
        found: (K, LANES) true positives; written.
        false: (K, LANES) false positives; written.
    """
    bit = np.uint64(1) << np.uint64(threshold)
    for label in range(first.size):
        found[label] = 0.0
        false[label] = 0.0
        for place in range(first[label], last[label]):
            if true[place] & bit:
                for lane in range(LANES):
                    found[label, lane] += weights[image[place], lane]
            elif ignored[place] & bit == 0:
                for lane in range(LANES):
                    false[label, lane] += weights[image[place], lane]
    return first.size


@kernel
def weigh_curves(
    weights: NDArray[np.uint8],
    positives: NDArray[np.float64],
    start: NDArray[np.int64],
    image: NDArray[np.int32],
    true: NDArray[np.uint64],
    ignored: NDArray[np.uint64],
    step_start: NDArray[np.int64],
    step_first: NDArray[np.int64],
    step_last: NDArray[np.int64],
    levels: int,
    counted: NDArray[np.int32],
    weight: NDArray[np.float64],
    before: NDArray[np.float64],
    mended: NDArray[np.float64],
    best: NDArray[np.float64],
    reached: NDArray[np.float64],
    found: NDArray[np.float64],
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> int:
    """Average precision and final recall of each class and threshold, in each resample.

    Args:
        weights: (I, LANES).
        positives: (K, LANES) of `weigh_objects`.
        start: (K + 1,) see `metrics.resampling.rankings.RankingSteps`, also for those up to `step_last`.
        image: (E,).
        true: (E,).
        ignored: (E,).
        step_start: (K + 1,).
        step_first: (S,).
        step_last: (S,).
        levels: how many recall levels 0 ... 1 precision is averaged over; 0: all recalls, the area under the envelope.
        counted: (LANES,) scratch: detections up to here that count at a threshold without `mended`.
        weight: (LANES,) scratch: of the detection at hand.
        before: (LANES,) scratch: `counted` up to it.
        mended: (T, LANES) scratch: what to add to `counted` at each threshold.
        best: (T, LANES) scratch: the envelope, the best precision from here on.
        reached: (T, LANES) scratch: levels that the recall up to here reaches.
        found: (T, LANES) scratch: true positives up to here.
        precision: (K, T, LANES) average precision; written. NaN where a resample has no object of the class.
        recall: (K, T, LANES) final recall; written. NaN likewise.
    """
    thresholds = precision.shape[1]
    steps = levels - 1.0
    for label in range(start.size - 1):
        counted[:] = 0
        mended[:] = 0.0
        best[:] = 0.0
        found[:] = 0.0
        area = precision[label]
        area[:] = 0.0
        asked = positives[label]

        for place in range(start[label], start[label + 1]):
            for lane in range(LANES):
                counted[lane] += weights[image[place], lane]
        for step in range(step_start[label], step_start[label + 1]):
            for place in range(step_first[step], step_last[step]):
                for threshold in range(thresholds):
                    bit = np.uint64(1) << np.uint64(threshold)
                    if true[place] & bit:
                        for lane in range(LANES):
                            found[threshold, lane] += weights[image[place], lane]
                    elif ignored[place] & bit:
                        for lane in range(LANES):
                            mended[threshold, lane] -= weights[image[place], lane]
        for threshold in range(thresholds):
            for lane in range(LANES):
                recall[label, threshold, lane] = found[threshold, lane] / asked[lane]
                reached[threshold, lane] = levels_reached(found[threshold, lane], asked[lane], steps)

        place = start[label + 1] - 1
        for step in range(step_start[label + 1] - 1, step_start[label] - 1, -1):
            while place >= step_last[step]:
                for lane in range(LANES):
                    counted[lane] -= weights[image[place], lane]
                place -= 1
            if step_last[step] - step_first[step] == 1:
                for lane in range(LANES):
                    weight[lane] = weights[image[place], lane]
                    before[lane] = counted[lane]
                    counted[lane] -= weights[image[place], lane]
                for threshold in range(thresholds):
                    bit = np.uint64(1) << np.uint64(threshold)
                    if true[place] & bit:
                        for lane in range(LANES):
                            here = found[threshold, lane] / (before[lane] + mended[threshold, lane] + EPSILON)
                            top = best[threshold, lane]
                            top = here if here > top else top
                            best[threshold, lane] = top
                            left = found[threshold, lane] - weight[lane]
                            found[threshold, lane] = left
                            if levels > 0:
                                still = levels_reached(left, asked[lane], steps)
                                area[threshold, lane] += top * (reached[threshold, lane] - still)
                                reached[threshold, lane] = still
                            else:
                                area[threshold, lane] += top * weight[lane]
                    elif ignored[place] & bit:
                        for lane in range(LANES):
                            mended[threshold, lane] += weight[lane]
                place -= 1
            else:  # equal scores in one image: its copies come one after another, each with all of them
                for lane in range(LANES):
                    for _ in range(weights[image[place], lane]):
                        for tied in range(step_last[step] - 1, step_first[step] - 1, -1):
                            for threshold in range(thresholds):
                                bit = np.uint64(1) << np.uint64(threshold)
                                if true[tied] & bit:
                                    here = found[threshold, lane] / (
                                        counted[lane] + mended[threshold, lane] + EPSILON
                                    )
                                    best[threshold, lane] = max(best[threshold, lane], here)
                                    found[threshold, lane] -= 1.0
                                    if levels > 0:
                                        still = levels_reached(found[threshold, lane], asked[lane], steps)
                                        span = reached[threshold, lane] - still
                                        reached[threshold, lane] = still
                                    else:
                                        span = 1.0
                                    area[threshold, lane] += best[threshold, lane] * span
                                elif ignored[tied] & bit:
                                    mended[threshold, lane] += 1.0
                            counted[lane] -= 1
                place = step_first[step] - 1

        for threshold in range(thresholds):
            for lane in range(LANES):
                whole = float(levels) if levels > 0 else asked[lane]
                area[threshold, lane] = area[threshold, lane] / whole if asked[lane] > 0 else np.nan
    return start.size - 1


@kernel
def weigh_precision(
    weights: NDArray[np.uint8],
    positives: NDArray[np.float64],
    start: NDArray[np.int64],
    image: NDArray[np.int32],
    true: NDArray[np.uint64],
    step_start: NDArray[np.int64],
    step_first: NDArray[np.int64],
    step_last: NDArray[np.int64],
    counted: NDArray[np.int32],
    found: NDArray[np.float64],
    best: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> int:
    """The envelope of precision at each recall level of each class, in each resample, at one threshold.

    Args:
        weights: (I, LANES).
        positives: (K, LANES) of `weigh_objects`.
        start: (K + 1,) see `metrics.resampling.rankings.RankingSteps` of a ranking of one threshold, also for those up to `step_last`.
        image: (E,).
        true: (E,).
        step_start: (K + 1,).
        step_first: (S,).
        step_last: (S,).
        counted: (LANES,) scratch: detections up to here.
        found: (LANES,) scratch: true positives up to here.
        best: (LANES,) scratch: the best precision from here on.
        precision: (K, levels, LANES) at recalls 0 ... 1; 0 beyond the last; written. NaN where a resample has no object of
            the class.
    """
    steps = precision.shape[1] - 1.0
    for label in range(start.size - 1):
        counted[:] = 0
        found[:] = 0.0
        best[:] = 0.0
        asked, envelope = positives[label], precision[label]
        envelope[:] = 0.0
        for place in range(start[label], start[label + 1]):
            for lane in range(LANES):
                counted[lane] += weights[image[place], lane]
                found[lane] += weights[image[place], lane] if true[place] else 0
        place = start[label + 1] - 1
        for step in range(step_start[label + 1] - 1, step_start[label] - 1, -1):
            while place >= step_last[step]:
                for lane in range(LANES):
                    counted[lane] -= weights[image[place], lane]
                place -= 1
            for lane in range(LANES):
                for _ in range(weights[image[place], lane]):
                    for tied in range(step_last[step] - 1, step_first[step] - 1, -1):
                        if true[tied]:
                            here = found[lane] / (counted[lane] + EPSILON)
                            best[lane] = max(best[lane], here)
                            reached = int(levels_reached(found[lane], asked[lane], steps))
                            found[lane] -= 1.0
                            still = int(levels_reached(found[lane], asked[lane], steps))
                            envelope[still:reached, lane] = best[lane]
                        counted[lane] -= 1
            place = step_first[step] - 1
        for lane in range(LANES):
            if asked[lane] == 0:
                envelope[:, lane] = np.nan
    return start.size - 1


@kernel
def weigh_thresholds(
    weights: NDArray[np.uint8],
    positives: NDArray[np.float64],
    start: NDArray[np.int64],
    image: NDArray[np.int32],
    true: NDArray[np.uint64],
    ignored: NDArray[np.uint64],
    loss: NDArray[np.float64],
    ends: NDArray[np.bool_],
    found: NDArray[np.float64],
    false: NDArray[np.float64],
    lost: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
) -> int:
    """The best that any score threshold reaches, for each class in each resample: least LRP error, greatest F1.

    Both change for the better only where something true is found, so they are read where a run of equal scores ends
    that has a true positive, and before the first detection.

    Args:
        weights: (I, LANES).
        positives: (K, LANES) of `weigh_objects`.
        start: (K + 1,) of a `Ranking` of one threshold, as are those up to `ignored`.
        image: (D,).
        true: (D,).
        ignored: (D,).
        loss: (D,) (1 - IoU) / (1 - threshold) of each true positive.
        ends: (D,) whether to read after this detection.
        found: (LANES,) scratch: true positives up to here.
        false: (LANES,) scratch: false positives.
        lost: (LANES,) scratch: their losses.
        least: (K, LANES) LRP error; written. NaN where a resample has no object of the class.
        most: (K, LANES) F1; written. NaN likewise, and where no detection counts.
    """
    for label in range(start.size - 1):
        found[:] = 0.0
        false[:] = 0.0
        lost[:] = 0.0
        for lane in range(LANES):
            least[label, lane] = 1.0
            most[label, lane] = 0.0
        for place in range(start[label], start[label + 1]):
            if true[place] != 0:
                for lane in range(LANES):
                    found[lane] += weights[image[place], lane]
                    lost[lane] += weights[image[place], lane] * loss[place]
            elif ignored[place] == 0:
                for lane in range(LANES):
                    false[lane] += weights[image[place], lane]
            if ends[place]:
                for lane in range(LANES):
                    asked = positives[label, lane]
                    error = (lost[lane] + false[lane] + asked - found[lane]) / (false[lane] + asked)
                    least[label, lane] = error if error < least[label, lane] else least[label, lane]
                    score = 2.0 * found[lane] / (found[lane] + false[lane] + asked)
                    most[label, lane] = score if score > most[label, lane] else most[label, lane]
        for lane in range(LANES):
            if positives[label, lane] == 0:
                least[label, lane] = np.nan
            if positives[label, lane] == 0 or found[lane] + false[lane] == 0:
                most[label, lane] = np.nan
    return start.size - 1
