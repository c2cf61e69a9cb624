"""Suppression of a whole split at once, compiled: to the last bit what `detectors.nms` finds image by image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.pipeline.candidates import Candidates
from detectors.nms import NMSConfig
from metrics.kernels.compile_cache import kernel
from metrics.kernels.threads import for_each, thread_count

_COMPILED = {"score", "iou", "agnostic", "top_k", "max_dets", "method", "sigma"}
"""The settings that the kernels know."""

_TAKEN = 2
_BLOCK = 64
_TINY = float(np.finfo(np.float32).smallest_normal)


def is_compiled(config: NMSConfig) -> bool:
    """Whether `suppress` can do what this configuration asks for: it has no setting that is unknown here."""
    return set(type(config).model_fields) <= _COMPILED


def suppress(candidates: Candidates, config: NMSConfig) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the candidates that are detections, image by image, each by falling score; and their scores.

    Works in about 60 bytes of memory a candidate, whatever the settings.

    Args:
        candidates: of a split, as `bench.pipeline.predict` saved them.
        config: suppression's settings; `is_compiled` holds.
    """
    start = np.searchsorted(candidates.image, np.arange(len(candidates.sizes) + 1)).astype(np.int64)
    state = np.zeros(len(candidates.score), np.uint8)
    label = np.ascontiguousarray(candidates.label, np.int32)
    score = np.array(candidates.score, np.float32)
    boxes = np.ascontiguousarray(candidates.boxes, np.float32)
    # torch compares float32 with the float32 next to a number; only `torchvision.ops.nms` takes the number itself.
    floor = float(np.float32(config.score))
    given = (state, floor, int(config.agnostic), config.top_k, config.max_dets)
    if config.method.startswith("soft"):
        # Those with a threshold have no sigma, and the other way round.
        iou, sigma = (
            (float(np.float32(config.iou)), 0.0) if config.method == "soft_linear" else (0.0, config.sigma)
        )
        known = (start, label, score, np.ascontiguousarray(boxes.T), *given, iou, sigma)
        rest = score.copy()
        room = [np.empty(len(score), kind) for kind in (np.int32, np.float32, np.int32)]
        _in_parts(lambda a, b: _fade_images(a, b, *known, rest, rest.view(np.int32), *room), len(start) - 1)
        rows = np.flatnonzero(state == _TAKEN)
        rows = rows[np.lexsort((-score[rows], candidates.image[rows]))]
    else:
        diou = config.method == "diou"
        iou = float(np.float32(config.iou)) if diou else config.iou
        known = (start, label, score, boxes, *given, iou, int(diou))
        _in_parts(lambda a, b: _strike_images(a, b, *known), len(start) - 1)
        rows = np.flatnonzero(state == _TAKEN)
    return rows, score[rows]


def _in_parts(work: Callable[[int, int], int], images: int) -> None:
    """Call `work` with first and last image of parts that together are all images, on all cores."""
    edges = np.linspace(0, images, min(4 * thread_count(), max(images, 1)) + 1).astype(int).tolist()
    for_each(lambda part: work(*part), [part for part in itertools.pairwise(edges) if part[1] > part[0]])


@kernel
def _strike_images(
    first: int,
    last: int,
    start: NDArray[np.int64],
    label: NDArray[np.int32],
    score: NDArray[np.float32],
    boxes: NDArray[np.float32],
    state: NDArray[np.uint8],
    floor: float,
    agnostic: int,
    top_k: int,
    max_dets: int,
    iou: float,
    diou: int,
) -> int:
    """Set `state` to 2 where a candidate is taken; a better one that overlaps it too much strikes it out.

    All is computed in float32, as `torchvision.ops.nms` and `metrics.iou` do.
    """
    taken = 0
    for image in range(first, last):
        begin = start[image]
        end = _entering(score, begin, min(start[image + 1], begin + top_k), floor)
        state[begin:end] = 1
        found = 0
        for row in range(begin, end):
            if state[row] != 1:
                continue
            if found == max_dets:
                state[row] = 0
                continue
            state[row] = 2
            found += 1
            x1, y1, x2, y2 = boxes[row]
            area = (x2 - x1) * (y2 - y1)
            for other in range(row + 1, end):
                if state[other] != 1 or (agnostic == 0 and label[other] != label[row]):
                    continue
                if diou == 1:
                    if _iou(boxes, row, other) - _distance(boxes, row, other) > iou:
                        state[other] = 0
                    continue
                u1, v1, u2, v2 = boxes[other]
                width = max(np.float32(0), min(x2, u2) - max(x1, u1))
                height = max(np.float32(0), min(y2, v2) - max(y1, v1))
                common = width * height
                if common / (area + (u2 - u1) * (v2 - v1) - common) > iou:
                    state[other] = 0
        taken += found
    return taken


@kernel
def _fade_images(
    first: int,
    last: int,
    start: NDArray[np.int64],
    label: NDArray[np.int32],
    score: NDArray[np.float32],
    corners: NDArray[np.float32],
    state: NDArray[np.uint8],
    floor: float,
    agnostic: int,
    top_k: int,
    max_dets: int,
    iou: float,
    sigma: float,
    rest: NDArray[np.float32],
    bits: NDArray[np.int32],
    gone: NDArray[np.int32],
    overlap: NDArray[np.float32],
    touching: NDArray[np.int32],
) -> int:
    """Set `state` to 2 where a candidate is taken, and `score` to what it has faded to by then.

    Scores are float32 and never rise: so the best of all is taken, of whatever class, and the first `max_dets` of an
    image are the result. Candidates wait with their first scores, and join `_BLOCK` at a time when one of them may be
    the best.

    Args:
        first: image.
        last: image, not included.
        start: first row of each image.
        label: of each row.
        score: of each row, falling within an image; written to.
        corners: (4, rows) x1, y1, x2 and y2 of the boxes.
        state: 0 for each row; written to.
        floor: what scores no more is out.
        agnostic: 1 to fade across classes.
        top_k: so many rows of an image enter.
        max_dets: so many rows of an image are taken.
        iou: above it an overlap fades linearly; without effect where there is a `sigma`.
        sigma: above 0, any overlap fades as a Gaussian of this width.
        rest: a copy of `score`; 0 once a row is taken or out.
        bits: the memory of `rest`: floats from 0 on are in the order of their bits, and integers are compared faster.
        gone: room for as many rows.
        overlap: room, likewise.
        touching: room, likewise.
    """
    given = (label, corners, floor, agnostic, iou, sigma, rest, overlap, touching)  # to `_fade`
    taken = 0
    for image in range(first, last):
        begin = start[image]
        end = _entering(score, begin, min(start[image + 1], begin + top_k), floor)
        joined, found = begin, 0
        while found < max_dets:
            best = _best(bits, begin, joined)
            if joined < end and (best < 0 or score[joined] > rest[best]):
                until = min(joined + _BLOCK, end)
                for k in range(found):
                    _fade(gone[begin + k], joined, until, *given)
                joined = until
                continue
            if best < 0:
                break
            state[best] = 2
            score[best] = rest[best]
            rest[best] = 0
            gone[begin + found] = best
            found += 1
            _fade(best, begin, joined, *given)
        taken += found
    return taken


@kernel
def _entering(score: NDArray[np.float32], first: int, last: int, floor: float) -> int:
    """The row after those from `first` on, of falling score, that score more than the floor."""
    end = first
    while end < last and score[end] > floor:
        end += 1
    return end


@kernel
def _best(bits: NDArray[np.int32], first: int, last: int) -> int:
    """The row with the highest score, the first of equal ones; -1 if none is above 0."""
    most, found = np.int32(0), -1
    for begin in range(first, last, _BLOCK):
        block = bits[begin : min(begin + _BLOCK, last)]
        highest = np.int32(0)
        for k in range(len(block)):
            highest = max(highest, block[k])
        if highest > most:
            most, found = highest, begin
    if found >= 0:
        while bits[found] != most:
            found += 1
    return found


@kernel
def _fade(
    by: int,
    first: int,
    last: int,
    label: NDArray[np.int32],
    corners: NDArray[np.float32],
    floor: float,
    agnostic: int,
    iou: float,
    sigma: float,
    rest: NDArray[np.float32],
    overlap: NDArray[np.float32],
    touching: NDArray[np.int32],
) -> int:
    """Lower the scores of a range of rows for their overlap with one that was taken; how many are touched.

    Few are: their overlaps, `metrics.iou.box_iou` in float32, are found for many rows at once in a loop that has no
    branch (and therefore has each corner in an array of its own), and only those that are touched are looked at again.
    """
    x1, y1, x2, y2 = corners[0, by], corners[1, by], corners[2, by], corners[3, by]
    own, across, zero = label[by], agnostic == 1, np.float32(0)
    area = max(zero, x2 - x1) * max(zero, y2 - y1)
    u1, v1 = corners[0, first:last], corners[1, first:last]
    u2, v2 = corners[2, first:last], corners[3, first:last]
    labels, scores = label[first:last], rest[first:last]
    overlaps, rows = overlap[first:last], touching[first:last]
    for k in range(last - first):
        width = max(zero, min(x2, u2[k]) - max(x1, u1[k]))
        height = max(zero, min(y2, v2[k]) - max(y1, v1[k]))
        common = width * height
        union = area + max(zero, u2[k] - u1[k]) * max(zero, v2[k] - v1[k]) - common
        concerned = (union >= _TINY) & (scores[k] > zero) & ((labels[k] == own) | across)
        overlaps[k] = common / union if concerned else zero
    count = 0
    for k in range(last - first):
        rows[count] = k
        count += overlaps[k] > zero
    for k in rows[:count]:
        if sigma > 0:
            scores[k] *= np.float32(math.exp(-(np.float64(overlaps[k]) * overlaps[k]) / sigma))
        elif overlaps[k] > iou:
            scores[k] *= np.float32(1) - overlaps[k]
        if scores[k] <= floor:
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
    return zero if union < _TINY else common / union  # type: ignore[return-value]  # float32 all along


@kernel
def _distance(boxes: NDArray[np.float32], one: int, other: int) -> float:
    """Squared distance of the centres of two rows over the squared diagonal of their hull, in float32."""
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
