"""NMS of a whole split at once, compiled: bit-identical to `detectors.nms` image by image on the CPU."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.nms import NMSConfig
from metrics.kernels.compile_cache import kernel
from metrics.kernels.threads import for_each, thread_count

_COMPILED = {"score", "iou", "agnostic", "top_k", "max_dets", "method", "sigma"}
"""Names of the settings that the kernels support."""

_TAKEN = 2
_BLOCK = 64
_TINY = float(np.finfo(np.float32).smallest_normal)


class CandidateRows(NamedTuple):
    """N candidates of a split, image by image, and by decreasing score in each.

    Attributes:
        image: (N,) int32 index of the image.
        label: (N,) int32.
        score: (N,) float32.
        boxes: (N, 4) float32 xyxy in pixels of the network's input.
        images: number of images.
    """

    image: NDArray[np.int32]
    label: NDArray[np.int32]
    score: NDArray[np.float32]
    boxes: NDArray[np.float32]
    images: int


def is_compiled(config: NMSConfig) -> bool:
    """Whether `suppress` supports every setting of this configuration."""
    return set(type(config).model_fields) <= _COMPILED


def suppress(candidates: CandidateRows, config: NMSConfig) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the candidates that are detections, image by image and by decreasing score, and their scores.

    Uses about 60 bytes per candidate.

    Args:
        candidates: of a split.
        config: settings for which `is_compiled` is true.
    """
    start = np.searchsorted(candidates.image, np.arange(candidates.images + 1)).astype(np.int64)
    if config.method == "none":
        rank = np.arange(len(candidates.score)) - start[candidates.image]
        enters = candidates.score > np.float32(config.score)
        first = np.flatnonzero(enters & (rank < min(config.top_k, config.max_dets)))
        return first, candidates.score[first]
    label = np.ascontiguousarray(candidates.label, np.int32)
    score = np.array(candidates.score, np.float32)
    boxes = np.ascontiguousarray(candidates.boxes, np.float32)
    rows = _SortedCandidates(start, label, score, boxes, np.zeros(len(score), np.uint8))
    soft, diou = config.method.startswith("soft"), config.method == "diou"
    gaussian = config.method == "soft_gaussian"
    limits = _Limits(
        # torch compares float32 values with a threshold rounded to float32; `torchvision.ops.nms` does not round.
        float(np.float32(config.score)),
        float(np.float32(config.iou)) if soft or diou else config.iou,
        config.sigma if gaussian else 0.0,
        int(config.agnostic),
        int(diou),
        config.top_k,
        config.max_dets,
    )
    if soft:
        rows = rows._replace(boxes=np.ascontiguousarray(boxes.T))
        rest = score.copy()
        scratch = _SoftScratch(
            rest,
            rest.view(np.int32),
            np.empty(len(score), np.int32),
            np.empty(len(score), np.float32),
            np.empty(len(score), np.int32),
        )
        _in_parts(lambda first, last: _soft_nms(first, last, rows, limits, scratch), candidates.images)
        taken = np.flatnonzero(rows.state == _TAKEN)
        taken = taken[np.lexsort((-score[taken], candidates.image[taken]))]
    else:
        _in_parts(lambda first, last: _hard_nms(first, last, rows, limits), candidates.images)
        taken = np.flatnonzero(rows.state == _TAKEN)
    return taken, score[taken]


class _SortedCandidates(NamedTuple):
    """Candidates as the kernels need them.

    Attributes:
        start: first row of each image, and the number of rows.
        label: of each row.
        score: of each row, decreasing within an image; `_soft_nms` writes to it.
        boxes: (rows, 4) xyxy; for `_soft_nms` (4, rows).
        state: 0 for each row; 2 is written where a row is a detection.
    """

    start: NDArray[np.int64]
    label: NDArray[np.int32]
    score: NDArray[np.float32]
    boxes: NDArray[np.float32]
    state: NDArray[np.uint8]


class _Limits(NamedTuple):
    """Settings as numbers.

    Attributes:
        floor: rows with this score or less are dropped.
        iou: threshold, without effect if `sigma` is above 0.
        sigma: above 0: width of the Gaussian by which scores decay with any IoU.
        agnostic: 1 to suppress across classes.
        diou: 1 to use DIoU instead of IoU.
        top_k: largest number of rows of an image that enter.
        max_dets: largest number of detections of an image.
    """

    floor: float
    iou: float
    sigma: float
    agnostic: int
    diou: int
    top_k: int
    max_dets: int


class _SoftScratch(NamedTuple):
    """Memory of `_soft_nms`, one element per row.

    Attributes:
        rest: copy of the scores, which decay; 0 when a row is taken or dropped.
        bits: the memory of `rest` as integers: non-negative floats are ordered like their bits, and integers compare
            faster.
        taken: rows that were taken, from the first row of each image on.
        overlap: IoU of rows with one that was taken.
        touching: rows with a positive IoU.
    """

    rest: NDArray[np.float32]
    bits: NDArray[np.int32]
    taken: NDArray[np.int32]
    overlap: NDArray[np.float32]
    touching: NDArray[np.int32]


def _in_parts(work: Callable[[int, int], int], images: int) -> None:
    """Call `work` on all cores with the first and the last image (excluded) of parts of the split."""
    edges = np.linspace(0, images, min(4 * thread_count(), max(images, 1)) + 1).astype(int).tolist()
    for_each(lambda part: work(*part), [part for part in itertools.pairwise(edges) if part[1] > part[0]])


@kernel
def _hard_nms(first: int, last: int, rows: _SortedCandidates, limits: _Limits) -> int:
    """Take rows by decreasing score; a taken row suppresses later ones that overlap it too much.

    All numbers are float32, as in `torchvision.ops.nms` and `metrics.iou`. Returns the number of detections.
    """
    label, boxes, state = rows.label, rows.boxes, rows.state
    total = 0
    for image in range(first, last):
        begin = rows.start[image]
        end = _entering(rows.score, begin, min(rows.start[image + 1], begin + limits.top_k), limits.floor)
        state[begin:end] = 1
        detections = 0
        for row in range(begin, end):
            if state[row] != 1:
                continue
            if detections == limits.max_dets:
                state[row] = 0
                continue
            state[row] = 2
            detections += 1
            x1, y1, x2, y2 = boxes[row]
            area = (x2 - x1) * (y2 - y1)
            for other in range(row + 1, end):
                if state[other] != 1 or (limits.agnostic == 0 and label[other] != label[row]):
                    continue
                if limits.diou == 1:
                    if _iou(boxes, row, other) - _distance(boxes, row, other) > limits.iou:
                        state[other] = 0
                    continue
                u1, v1, u2, v2 = boxes[other]
                width = max(np.float32(0), min(x2, u2) - max(x1, u1))
                height = max(np.float32(0), min(y2, v2) - max(y1, v1))
                common = width * height
                if common / (area + (u2 - u1) * (v2 - v1) - common) > limits.iou:
                    state[other] = 0
        total += detections
    return total


@kernel
def _soft_nms(first: int, last: int, rows: _SortedCandidates, limits: _Limits, scratch: _SoftScratch) -> int:
    """Take the row with the highest score, of any class, and let the scores of overlapping rows decay; repeat.

    Scores are float32 and never increase, so the first `max_dets` rows taken are the result. Rows wait with their
    initial scores and join `_BLOCK` at a time when one of them can be the highest. Returns the number of detections.
    """
    score, rest, taken = rows.score, scratch.rest, scratch.taken
    total = 0
    for image in range(first, last):
        begin = rows.start[image]
        end = _entering(score, begin, min(rows.start[image + 1], begin + limits.top_k), limits.floor)
        joined, detections = begin, 0
        while detections < limits.max_dets:
            best = _highest(scratch.bits, begin, joined)
            if joined < end and (best < 0 or score[joined] > rest[best]):
                until = min(joined + _BLOCK, end)
                for k in range(detections):
                    _decay(taken[begin + k], joined, until, rows, limits, scratch)
                joined = until
                continue
            if best < 0:
                break
            rows.state[best] = 2
            score[best] = rest[best]
            rest[best] = 0
            taken[begin + detections] = best
            detections += 1
            _decay(best, begin, joined, rows, limits, scratch)
        total += detections
    return total


@kernel
def _entering(score: NDArray[np.float32], first: int, last: int, floor: float) -> int:
    """End of the rows from `first` on, by decreasing score, whose score is above the floor."""
    end = first
    while end < last and score[end] > floor:
        end += 1
    return end


@kernel
def _highest(bits: NDArray[np.int32], first: int, last: int) -> int:
    """Row with the highest score, the first of equal ones; -1 if none is above 0."""
    highest, row = np.int32(0), -1
    for begin in range(first, last, _BLOCK):
        block = bits[begin : min(begin + _BLOCK, last)]
        of_block = np.int32(0)
        for k in range(len(block)):
            of_block = max(of_block, block[k])
        if of_block > highest:
            highest, row = of_block, begin
    if row >= 0:
        while bits[row] != highest:
            row += 1
    return row


@kernel
def _decay(
    by: int, first: int, last: int, rows: _SortedCandidates, limits: _Limits, scratch: _SoftScratch
) -> int:
    """Lower the scores of a range of rows by their IoU with row `by`; return the number of rows that it touches.

    Few rows are touched: the IoU, `metrics.iou.box_iou` in float32, is computed for many rows in a loop without
    branches (which is why each corner has an array of its own), and only touched rows are processed further.
    """
    boxes = rows.boxes
    x1, y1, x2, y2 = boxes[0, by], boxes[1, by], boxes[2, by], boxes[3, by]
    own, across, zero = rows.label[by], limits.agnostic == 1, np.float32(0)
    area = max(zero, x2 - x1) * max(zero, y2 - y1)
    u1, v1 = boxes[0, first:last], boxes[1, first:last]
    u2, v2 = boxes[2, first:last], boxes[3, first:last]
    labels, scores = rows.label[first:last], scratch.rest[first:last]
    overlaps, touching = scratch.overlap[first:last], scratch.touching[first:last]
    for k in range(last - first):
        width = max(zero, min(x2, u2[k]) - max(x1, u1[k]))
        height = max(zero, min(y2, v2[k]) - max(y1, v1[k]))
        common = width * height
        union = area + max(zero, u2[k] - u1[k]) * max(zero, v2[k] - v1[k]) - common
        affected = (union >= _TINY) & (scores[k] > zero) & ((labels[k] == own) | across)
        overlaps[k] = common / union if affected else zero
    count = 0
    for k in range(last - first):
        touching[count] = k
        count += overlaps[k] > zero
    for k in touching[:count]:
        if limits.sigma > 0:
            scores[k] *= np.float32(math.exp(-(np.float64(overlaps[k]) * overlaps[k]) / limits.sigma))
        elif overlaps[k] > limits.iou:
            scores[k] *= np.float32(1) - overlaps[k]
        if scores[k] <= limits.floor:
            scores[k] = zero
    return count


@kernel
def _iou(boxes: NDArray[np.float32], one: int, other: int) -> float:
    """`metrics.iou.box_iou` of two rows, in float32."""
    x1, y1, x2, y2 = boxes[one]
    u1, v1, u2, v2 = boxes[other]
    zero = np.float32(0)
    width = max(zero, min(x2, u2) - max(x1, u1))
    height = max(zero, min(y2, v2) - max(y1, v1))
    common = width * height
    union = max(zero, x2 - x1) * max(zero, y2 - y1) + max(zero, u2 - u1) * max(zero, v2 - v1) - common
    return zero if union < _TINY else common / union  # type: ignore[return-value]  # float32 throughout


@kernel
def _distance(boxes: NDArray[np.float32], one: int, other: int) -> float:
    """Squared distance of two centres divided by the squared diagonal of the boxes' hull, in float32."""
    x1, y1, x2, y2 = boxes[one]
    u1, v1, u2, v2 = boxes[other]
    two = np.float32(2)
    dx = (x1 + x2 - u1 - u2) / two
    dy = (y1 + y2 - v1 - v2) / two
    zero = np.float32(0)
    width = max(zero, max(x2, u2) - min(x1, u1))
    height = max(zero, max(y2, v2) - min(y1, v1))
    diagonal = width * width + height * height
    return zero if diagonal < _TINY else (dx * dx + dy * dy) / diagonal  # type: ignore[return-value]
