"""Kernel for the best score threshold of each class in many bootstrap replicates at once; see `metrics.resampling.lanes`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel
from metrics.resampling.lanes import LANES, RankedArrays


class ThresholdScratch(NamedTuple):
    """Memory that `optimal_thresholds` works in.

    Attributes:
        tp: (LANES,) true positives up to here.
        fp: (LANES,) false positives up to here.
        loss: (LANES,) sum of the losses of the true positives.
    """

    tp: NDArray[np.float64]
    fp: NDArray[np.float64]
    loss: NDArray[np.float64]


class Optima(NamedTuple):
    """Best values over all score thresholds, written by `optimal_thresholds`.

    Attributes:
        lrp: (K, LANES) lowest LRP error; NaN where a replicate has no object of the class.
        f1: (K, LANES) highest F1; NaN as `lrp`, and where no detection counts.
    """

    lrp: NDArray[np.float64]
    f1: NDArray[np.float64]


@kernel
def optimal_thresholds(
    weights: NDArray[np.uint8],
    positives: NDArray[np.float64],
    ranked: RankedArrays,
    loss: NDArray[np.float64],
    ends: NDArray[np.bool_],
    scratch: ThresholdScratch,
    optima: Optima,
) -> int:
    """Compute the lowest LRP error and the highest F1 over all score thresholds, per class and replicate.

    Both improve only at true positives, so they are read at the end of each run of equal scores that has a true positive, and
    before the first detection.

    Args:
        weights: (I, LANES).
        positives: (K, LANES) from `count_objects`.
        ranked: ranked detections at one IoU threshold.
        loss: (D,) (1 - IoU) / (1 - threshold) of each true positive.
        ends: (D,) whether to read after this detection.
        scratch: memory.
        optima: written.
    """
    image, tp, fp, lost = ranked.image, scratch.tp, scratch.fp, scratch.loss
    for label in range(ranked.start.size - 1):
        tp[:] = 0.0
        fp[:] = 0.0
        lost[:] = 0.0
        lrp, f1, objects = optima.lrp[label], optima.f1[label], positives[label]
        for lane in range(LANES):
            lrp[lane] = 1.0
            f1[lane] = 0.0
        for index in range(ranked.start[label], ranked.start[label + 1]):
            row = weights[image[index]]
            if ranked.tp[index] != 0:
                its = loss[index]
                for lane in range(LANES):
                    tp[lane] += row[lane]
                for lane in range(LANES):
                    lost[lane] += row[lane] * its
            elif ranked.ignored[index] == 0:
                for lane in range(LANES):
                    fp[lane] += row[lane]
            if ends[index]:
                for lane in range(LANES):
                    count = objects[lane]
                    error = (lost[lane] + fp[lane] + count - tp[lane]) / (fp[lane] + count)
                    lrp[lane] = error if error < lrp[lane] else lrp[lane]
                for lane in range(LANES):
                    count = objects[lane]
                    score = 2.0 * tp[lane] / (tp[lane] + fp[lane] + count)
                    f1[lane] = score if score > f1[lane] else f1[lane]
        for lane in range(LANES):
            if objects[lane] == 0:
                lrp[lane] = np.nan
            if objects[lane] == 0 or tp[lane] + fp[lane] == 0:
                f1[lane] = np.nan
    return ranked.start.size - 1
