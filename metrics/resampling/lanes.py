"""Kernels that count objects and detections in many bootstrap replicates at once: each lane is a replicate.

Images are matched independently, so the multiplicity of an image changes no match: its detections only count several times.
Replicates differ by the weight that each detection adds to the counts, a row of small integers, one per lane, in a table
that fits into the second-level cache.

Loops over lanes have no address that depends on an array: rows are named before the loop. Otherwise the compiler must assume that
the loop itself changes the index, and does not use vector registers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

LANES = 64
"""Replicates that are evaluated side by side: whole vector registers, and weights of 5,000 images in 320 kB."""


class RankedArrays(NamedTuple):
    """Ranked detections of all classes; see `metrics.resampling.rankings.Ranking`.

    Attributes:
        start: (K + 1,) where each class begins.
        image: (D,) image of each detection.
        tp: (D,) words: bit t is set if it is a true positive at threshold t.
        ignored: (D,) words: bit t is set if it is ignored at threshold t.
    """

    start: NDArray[np.int64]
    image: NDArray[np.int32]
    tp: NDArray[np.uint64]
    ignored: NDArray[np.uint64]


@kernel
def count_objects(
    weights: NDArray[np.uint8],
    start: NDArray[np.int64],
    image: NDArray[np.int32],
    count: NDArray[np.int32],
    positives: NDArray[np.float64],
) -> int:
    """Count the objects of each class in each replicate.

    Args:
        weights: (I, LANES).
        start: (K + 1,) where each class begins in `image`.
        image: (G,) image of each object.
        count: (LANES,) scratch.
        positives: (K, LANES); written.
    """
    for label in range(start.size - 1):
        count[:] = 0
        for index in range(start[label], start[label + 1]):
            row = weights[image[index]]
            for lane in range(LANES):
                count[lane] += row[lane]
        for lane in range(LANES):
            positives[label, lane] = count[lane]
    return start.size - 1


@kernel
def count_detections(
    weights: NDArray[np.uint8],
    ranked: RankedArrays,
    last: NDArray[np.int64],
    threshold: int,
    tp: NDArray[np.float64],
    fp: NDArray[np.float64],
) -> int:
    """Count the true and false positives of each class in each replicate at one IoU threshold.

    Args:
        weights: (I, LANES).
        ranked: ranked detections.
        last: (K,) where the detections to count end; they begin at ``ranked.start``.
        threshold: index of the IoU threshold.
        tp: (K, LANES); written.
        fp: (K, LANES); written.
    """
    bit = np.uint64(1) << np.uint64(threshold)
    image = ranked.image
    for label in range(last.size):
        tp[label] = 0.0
        fp[label] = 0.0
        true, false = tp[label], fp[label]
        for index in range(ranked.start[label], last[label]):
            row = weights[image[index]]
            if ranked.tp[index] & bit:
                for lane in range(LANES):
                    true[lane] += row[lane]
            elif ranked.ignored[index] & bit == 0:
                for lane in range(LANES):
                    false[lane] += row[lane]
    return last.size
