"""Kernels that walk a class's detections by falling score: precision over recall, and what was found.

A curve changes only at true positives. Up to a match, the detections that count are those whose own area is within
the range, corrected by the matched ones: a true positive counts whatever its area, and one that took an ignored
object does not. So one count serves all thresholds, and a plain false positive costs one addition for all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

EPSILON = np.spacing(1.0)
"""What the reference adds to a count before it divides by it."""


@kernel
def collect_steps(
    classes: NDArray[np.int32],
    start: NDArray[np.int64],
    row: NDArray[np.int32],
    rank: NDArray[np.int32],
    most: int,
    inside: NDArray[np.uint16],
    pair_first: NDArray[np.int32],
    pair_row: NDArray[np.int32],
    pair_valid: NDArray[np.uint16],
    pair_bits: NDArray[np.uint64],
    passed: NDArray[np.int32],
    step_start: NDArray[np.int64],
    step_end: NDArray[np.int64],
    step_position: NDArray[np.int32],
    step_inside: NDArray[np.uint16],
    step_valid: NDArray[np.uint16],
    step_before: NDArray[np.int32],
    step_bits: NDArray[np.uint64],
) -> int:
    """Walk the detections of some classes: where pairs stand, and how many detections there are up to them.

    Args:
        classes: those to walk; the others may be walked by another thread meanwhile.
        start: (K + 1,) where each class begins in the walk.
        row: (D,) the walk.
        rank: (D,) place in image and class; those at `most` or beyond are passed over. Empty: none is.
        most: see `rank`.
        inside: (N,) words whose bit a says that the detection's own area is in area range a.
        pair_first: (N,) each detection's first pair, or -1; its others follow.
        pair_row: (P,) the detection of each pair.
        pair_valid: (P,) words whose bit a says that the object is asked for in area range a.
        pair_bits: (P, A) words of the thresholds at which the detection found the object.
        passed: (A,) scratch.
        step_start: (K,) where each class begins in what follows.
        step_end: (K,) becomes where it ends.
        step_position: (P,) becomes the pair's place in the walk.
        step_inside: (P,) becomes the word of its detection.
        step_valid: (P,) becomes the word of its object.
        step_before: (A, P) becomes how many detections within each area range stand up to it, itself included.
        step_bits: (A, P) becomes the pair's words.
    """
    areas = step_before.shape[0]
    for label in classes:
        step = int(step_start[label])
        passed[:] = 0
        for position in range(start[label], start[label + 1]):
            if rank.size > 0 and rank[position] >= most:
                continue
            detection = row[position]
            word = int(inside[detection])
            for area in range(areas):
                passed[area] += (word >> area) & 1
            pair = pair_first[detection]
            while 0 <= pair < pair_row.size and pair_row[pair] == detection:
                step_position[step] = position
                step_inside[step] = inside[detection]
                step_valid[step] = pair_valid[pair]
                for area in range(areas):
                    step_before[area, step] = passed[area]
                    step_bits[area, step] = pair_bits[pair, area]
                step += 1
                pair += 1
        step_end[label] = step
    return len(classes)


@kernel
def compute_curves(
    area: int,
    classes: NDArray[np.int32],
    start: NDArray[np.int64],
    row: NDArray[np.int32],
    score: NDArray[np.float64],
    positives: NDArray[np.int64],
    levels: NDArray[np.float64],
    step_start: NDArray[np.int64],
    step_end: NDArray[np.int64],
    step_position: NDArray[np.int32],
    step_inside: NDArray[np.uint16],
    step_valid: NDArray[np.uint16],
    step_before: NDArray[np.int32],
    step_bits: NDArray[np.uint64],
    true_precision: NDArray[np.float64],
    true_position: NDArray[np.int32],
    precision: NDArray[np.float64],
    scores: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> int:
    """Interpolated precision at recall levels, the scores there, and final recall, of some classes in an area range.

    Args:
        area: index of the range.
        classes: those to draw; the others may be drawn by another thread meanwhile.
        start: as in `collect_steps`, as are all whose names begin with `step`.
        row: likewise.
        score: (N,).
        positives: (A, K) how many objects are asked for.
        levels: (R,) rising, from 0.
        step_start: begin of the classes.
        step_end: end of the classes.
        step_position: place in the walk.
        step_inside: words of the detections.
        step_valid: words of the objects.
        step_before: detections up to there.
        step_bits: words of the pairs.
        true_precision: scratch as long as the longest class's steps and one more.
        true_position: likewise.
        precision: (A, K, T, R); ``[area, label]`` is written here and below. NaN where nothing is asked for.
        scores: (A, K, T, R), or empty, where they are not wanted.
        recall: (A, K, T).
    """
    thresholds = recall.shape[2]
    for label in classes:
        wanted = positives[area, label]
        if wanted == 0:
            precision[area, label] = np.nan
            if scores.size > 0:
                scores[area, label] = np.nan
            recall[area, label] = np.nan
            continue
        for threshold in range(thresholds):
            bit = np.uint64(threshold)
            true = 0
            correction = 0
            for step in range(step_start[label], step_end[label]):
                # Without branches: a pair that is none at this threshold changes nothing, and what it writes is
                # written over.
                paired = int(step_bits[area, step] >> bit) & 1
                valid = (int(step_valid[step]) >> area) & 1
                own = (int(step_inside[step]) >> area) & 1
                correction += paired * (valid - own)
                true_precision[true] = (true + 1) / (step_before[area, step] + correction + EPSILON)
                true_position[true] = step_position[step]
                true += paired & valid
            recall[area, label, threshold] = true / wanted
            for index in range(true - 1, 0, -1):
                true_precision[index - 1] = max(true_precision[index - 1], true_precision[index])
            level = 0
            while level < levels.size and levels[level] <= 0:  # reached before anything is found
                precision[area, label, threshold, level] = true_precision[0] if true > 0 else 0.0
                if scores.size > 0:
                    any_found = start[label + 1] > start[label]
                    scores[area, label, threshold, level] = score[row[start[label]]] if any_found else 0.0
                level += 1
            for index in range(true):
                reached = (index + 1) / wanted
                while level < levels.size and levels[level] <= reached:
                    precision[area, label, threshold, level] = true_precision[index]
                    if scores.size > 0:
                        scores[area, label, threshold, level] = score[row[true_position[index]]]
                    level += 1
            precision[area, label, threshold, level:] = 0.0
            if scores.size > 0:
                scores[area, label, threshold, level:] = 0.0
    return len(classes)


@kernel
def count_tp(
    pair_label: NDArray[np.int32],
    pair_cut: NDArray[np.int64],
    pair_valid: NDArray[np.uint16],
    pair_bits: NDArray[np.uint64],
    count: NDArray[np.int64],
) -> int:
    """Add up the objects found.

    Args:
        pair_label: (P,) class.
        pair_cut: (P,) the first of the cuts below which the detection's rank lies.
        pair_valid: as in `collect_steps`.
        pair_bits: likewise.
        count: (M, A, K, T), zeros; becomes how many are found by detections of that cut and none before.
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
