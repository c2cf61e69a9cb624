"""Kernels that walk a class's detections by falling score: precision over recall, and what was found.

A curve changes only at true positives. Up to a match, the detections that count are those whose own area is within
the range, corrected by the matched ones: a true positive counts whatever its area, and one that took an ignored
object does not. So one count serves all thresholds, and a plain false positive costs one addition for all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.engine.compiling import kernel

EPSILON = np.spacing(1.0)
"""What the reference adds to a count before it divides by it."""


@kernel
def inside_ranges(box: NDArray[np.float64], ranges: NDArray[np.float64], inside: NDArray[np.uint16]) -> int:
    """For each detection a word whose bit a says that its area is within area range a, both ends included.

    Args:
        box: (N, 4) xywh.
        ranges: (A, 2).
        inside: (N,) becomes the words.
    """
    for row in range(len(box)):
        area = box[row, 2] * box[row, 3]
        word = 0
        for index in range(len(ranges)):
            if ranges[index, 0] <= area <= ranges[index, 1]:
                word |= 1 << index
        inside[row] = word
    return len(box)


@kernel
def meet_pairs(
    first: int,
    last: int,
    row: NDArray[np.int32],
    inside: NDArray[np.uint16],
    rank: NDArray[np.int32],
    most: int,
    pair_first: NDArray[np.int32],
    pair_row: NDArray[np.int32],
    event: int,
    event_pair: NDArray[np.int32],
    event_position: NDArray[np.int32],
    event_before: NDArray[np.int32],
    passed: NDArray[np.int32],
) -> int:
    """Walk the detections ``first:last`` of a class: where its pairs stand, and how many counted before.

    Args:
        row: (D,) the walk.
        inside: (N,) words of `inside_ranges`.
        rank: (D,) place in image and class; those at `most` or beyond do not count. Empty: all count.
        pair_first: (N,) each detection's first pair, or -1; its others follow.
        event: the place of the class's first pair in the three results.
        event_pair, event_position, event_before: (P,), (P,), (P, A); become, in the order of the walk, the pair, its
            place in the walk, and how many detections within each area range stand up to it, itself included.
        passed: (A,) scratch.

    Returns:
        The place after the class's last pair.
    """
    areas = event_before.shape[1]
    passed[:] = 0
    for position in range(first, last):
        if rank.size > 0 and rank[position] >= most:
            continue
        word = int(inside[row[position]])
        for area in range(areas):
            passed[area] += (word >> area) & 1
        pair = pair_first[row[position]]
        if pair < 0:
            continue
        while pair < pair_row.size and pair_row[pair] == row[position]:
            event_pair[event] = pair
            event_position[event] = position
            event_before[event] = passed
            event += 1
            pair += 1
    return event


@kernel
def class_curves(
    label: int,
    first: int,
    last: int,
    event_first: int,
    event_last: int,
    event_pair: NDArray[np.int32],
    event_position: NDArray[np.int32],
    event_before: NDArray[np.int32],
    row: NDArray[np.int32],
    inside: NDArray[np.uint16],
    asked: NDArray[np.uint64],
    pair_object: NDArray[np.int32],
    pair_bits: NDArray[np.uint64],
    score: NDArray[np.float64],
    positives: NDArray[np.int64],
    levels: NDArray[np.float64],
    step_precision: NDArray[np.float64],
    step_position: NDArray[np.int32],
    precision: NDArray[np.float64],
    scores: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> int:
    """Interpolated precision at recall levels, the scores there, and final recall, of one class.

    Args:
        first, last: its part of the walk; event_first, event_last: its part of the events of `meet_pairs`.
        asked: (G,) words whose bit a says that the object is asked for in area range a.
        positives: (A, K) how many objects are.
        levels: (R,) rising, from 0.
        step_precision, step_position: scratch as long as the class's events.
        precision, scores: (A, T, R, K); recall: (A, T, K); ``[..., label]`` is written. NaN where nothing is asked for.
    """
    areas, thresholds = recall.shape[0], recall.shape[1]
    for area in range(areas):
        wanted = positives[area, label]
        if wanted == 0:
            precision[area, :, :, label] = np.nan
            scores[area, :, :, label] = np.nan
            recall[area, :, label] = np.nan
            continue
        for threshold in range(thresholds):
            bit = np.uint64(1) << np.uint64(threshold)
            steps = 0
            correction = 0
            for event in range(event_first, event_last):
                pair = event_pair[event]
                if pair_bits[pair, area] & bit == 0:
                    continue
                own = (int(inside[row[event_position[event]]]) >> area) & 1
                if (asked[pair_object[pair]] >> np.uint64(area)) & np.uint64(1) == 0:
                    correction -= own
                    continue
                correction += 1 - own
                counted = event_before[event, area] + correction
                step_precision[steps] = (steps + 1) / (counted + EPSILON)
                step_position[steps] = event_position[event]
                steps += 1
            for step in range(steps - 1, 0, -1):
                step_precision[step - 1] = max(step_precision[step - 1], step_precision[step])
            recall[area, threshold, label] = steps / wanted
            level = 0
            while level < levels.size and levels[level] <= 0:
                precision[area, threshold, level, label] = step_precision[0] if steps > 0 else 0.0
                scores[area, threshold, level, label] = score[row[first]] if last > first else 0.0
                level += 1
            for step in range(steps):
                reached = (step + 1) / wanted
                while level < levels.size and levels[level] <= reached:
                    precision[area, threshold, level, label] = step_precision[step]
                    scores[area, threshold, level, label] = score[row[step_position[step]]]
                    level += 1
            precision[area, threshold, level:, label] = 0.0
            scores[area, threshold, level:, label] = 0.0
    return areas
