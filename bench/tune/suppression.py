"""Suppression of a whole split at once, compiled: to the last bit what `detectors.nms` finds image by image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.candidates import Candidates
from detectors.nms import NMSConfig
from metrics.engine.compiling import kernel
from metrics.engine.threads import for_each, thread_count

_COMPILED = {"score", "iou", "agnostic", "top_k", "max_dets", "method", "sigma"}
"""The settings that the kernels know."""

_TAKEN = 2
_TINY = float(np.finfo(np.float32).smallest_normal)


def is_compiled(config: NMSConfig) -> bool:
    """Whether `suppress` can do what this configuration asks for: it has no setting that is unknown here."""
    return set(type(config).model_fields) <= _COMPILED


def suppress(candidates: Candidates, config: NMSConfig) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the candidates that are detections, image by image, each by falling score; and their scores.

    Args:
        candidates: of a split, as `bench.predict` saved them.
        config: suppression's settings; `is_compiled` holds.
    """
    start = np.searchsorted(candidates.image, np.arange(len(candidates.sizes) + 1)).astype(np.int64)
    state = np.zeros(len(candidates.score), np.uint8)
    label = np.ascontiguousarray(candidates.label, np.int32)
    score = np.array(candidates.score, np.float32)
    boxes = np.ascontiguousarray(candidates.boxes, np.float32)
    # torch compares float32 with the float32 next to a number; only `torchvision.ops.nms` takes the number itself.
    floor = float(np.float32(config.score))
    given = (start, label, score, boxes, state, floor, int(config.agnostic), config.top_k, config.max_dets)
    if config.method.startswith("soft"):
        # Those with a threshold have no sigma, and the other way round.
        iou, sigma = (
            (float(np.float32(config.iou)), 0.0) if config.method == "soft_linear" else (0.0, config.sigma)
        )
        member = np.empty(len(score), np.int64)
        _in_parts(lambda a, b: _fade_images(a, b, *given, iou, sigma, member), len(start) - 1)
        rows = np.flatnonzero(state == _TAKEN)
        rows = rows[np.lexsort((-score[rows], candidates.image[rows]))]
    else:
        diou = config.method == "diou"
        iou = float(np.float32(config.iou)) if diou else config.iou
        _in_parts(lambda a, b: _strike_images(a, b, *given, iou, int(diou)), len(start) - 1)
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
        end = begin
        while end < start[image + 1] and end - begin < top_k and score[end] > floor:
            end += 1
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
    boxes: NDArray[np.float32],
    state: NDArray[np.uint8],
    floor: float,
    agnostic: int,
    top_k: int,
    max_dets: int,
    iou: float,
    sigma: float,
    member: NDArray[np.int64],
) -> int:
    """Set `state` to 2 where a candidate is taken, and `score` to what it has faded to by then.

    Scores are float32. What has faded to the floor can never be taken, and is left out from then on. Scores never rise:
    so the best of all is taken, of whatever class, and the first `max_dets` of an image are the result.

    Args:
        first: image.
        last: image, not included.
        start: first row of each image.
        label: of each row.
        score: of each row, falling within an image; written to.
        boxes: of each row.
        state: 0 for each row; written to.
        floor: what scores no more is out.
        agnostic: 1 to fade across classes.
        top_k: so many rows of an image enter.
        max_dets: so many rows of an image are taken.
        iou: above it an overlap fades linearly; without effect where there is a `sigma`.
        sigma: above 0, any overlap fades as a Gaussian of this width.
        member: room for as many rows.
    """
    taken = 0
    for image in range(first, last):
        begin = start[image]
        end = begin
        while end < start[image + 1] and end - begin < top_k and score[end] > floor:
            end += 1
        # `member` holds from `begin` on the candidates that are being looked at, in their order, and down from `end` what
        # was taken. The others wait with their first scores, which are no lower than what they would have faded to.
        following, count, found = begin, 0, 0
        while found < max_dets:
            place = 0
            for k in range(1, count):
                if score[member[begin + k]] > score[member[begin + place]]:
                    place = k
            while following < end and (count == 0 or score[following] > score[member[begin + place]]):
                for k in range(found):
                    by = member[end - 1 - k]
                    if agnostic == 1 or label[by] == label[following]:
                        _fade(score, boxes, by, following, iou, sigma)
                if score[following] > floor:
                    member[begin + count] = following
                    if score[following] > score[member[begin + place]]:
                        place = count
                    count += 1
                following += 1
            if count == 0:
                break
            best = member[begin + place]
            state[best] = 2
            left = 0
            for k in range(count):
                other = member[begin + k]
                if k == place:
                    continue
                if agnostic == 1 or label[other] == label[best]:
                    _fade(score, boxes, best, other, iou, sigma)
                if score[other] > floor:
                    member[begin + left] = other
                    left += 1
            count = left
            member[end - 1 - found] = best
            found += 1
        taken += found
    return taken


@kernel
def _fade(
    score: NDArray[np.float32], boxes: NDArray[np.float32], by: int, row: int, iou: float, sigma: float
) -> int:
    """Lower the score of a row for its overlap with one that was taken; 1 if they touch."""
    if not (
        boxes[row, 0] < boxes[by, 2]
        and boxes[row, 2] > boxes[by, 0]
        and boxes[row, 1] < boxes[by, 3]
        and boxes[row, 3] > boxes[by, 1]
    ):
        return 0
    overlap = _iou(boxes, by, row)
    if sigma > 0:
        score[row] *= np.float32(math.exp(-(np.float64(overlap) * overlap) / sigma))
    elif overlap > iou:
        score[row] *= np.float32(1) - overlap
    return 1


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
