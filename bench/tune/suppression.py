"""Suppression of a whole split at once, compiled: to the last bit what `detectors.nms` finds image by image."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from bench.candidates import Candidates
from detectors.nms import NMSConfig
from metrics.engine.compiling import kernel
from metrics.engine.threads import for_each, thread_count

_COMPILED = {"score", "iou", "agnostic", "top_k", "max_dets", "method", "sigma"}
"""The settings that the kernel knows, and those that say that it is not asked for."""


def is_compiled(config: NMSConfig) -> bool:
    """Whether `suppress` can do what this configuration asks for: hard suppression, and no setting unknown to it."""
    return config.method == "hard" and set(type(config).model_fields) <= _COMPILED


def suppress(candidates: Candidates, config: NMSConfig) -> NDArray[np.int64]:
    """Rows of the candidates that are detections, image by image, each by falling score.

    Args:
        candidates: of a split, as `bench.predict` saved them.
        config: suppression's settings; `is_compiled` holds.
    """
    start = np.searchsorted(candidates.image, np.arange(len(candidates.sizes) + 1)).astype(np.int64)
    state = np.zeros(len(candidates.score), np.uint8)
    images = len(start) - 1
    edges = np.linspace(0, images, min(4 * thread_count(), max(images, 1)) + 1).astype(int)
    label = np.ascontiguousarray(candidates.label, np.int32)
    score = np.ascontiguousarray(candidates.score, np.float32)
    boxes = np.ascontiguousarray(candidates.boxes, np.float32)
    # torch compares float32 scores with the float32 next to the floor.
    floor = float(np.float32(config.score))
    settings = (floor, float(config.iou), int(config.agnostic), config.top_k, config.max_dets)

    def work(part: tuple[int, int]) -> int:
        return _suppress_images(*part, start, label, score, boxes, state, *settings)

    parts = [(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]
    for_each(work, parts)
    return np.flatnonzero(state == _KEPT)


_KEPT = 2


@kernel
def _suppress_images(
    first: int,
    last: int,
    start: NDArray[np.int64],
    label: NDArray[np.int32],
    score: NDArray[np.float32],
    boxes: NDArray[np.float32],
    state: NDArray[np.uint8],
    floor: float,
    iou: float,
    agnostic: int,
    top_k: int,
    max_dets: int,
) -> int:
    """Set `state` to 2 where a candidate is kept; all is computed in float32, as `torchvision.ops.nms` does."""
    kept = 0
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
                u1, v1, u2, v2 = boxes[other]
                width = max(np.float32(0), min(x2, u2) - max(x1, u1))
                height = max(np.float32(0), min(y2, v2) - max(y1, v1))
                common = width * height
                if common / (area + (u2 - u1) * (v2 - v1) - common) > iou:
                    state[other] = 0
        kept += found
    return kept
