"""Suppression of a whole split at once, compiled: to the last bit what `detectors.nms` finds image by image."""

from __future__ import annotations

import itertools

import numpy as np
import torch
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
    rows = np.flatnonzero(state == _KEPT)
    return rows if config.agnostic else _cut_many(rows, start, score, floor, config)


_KEPT = 2
_MANY = 1000
"""Above so many candidates of an image `torchvision.ops.batched_nms` takes class by class."""


def _cut_many(
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    score: NDArray[np.float32],
    floor: float,
    config: NMSConfig,
) -> NDArray[np.int64]:
    """Rows with the images of many candidates in torchvision's order: there its sort is free to swap equal scores."""
    above = np.concatenate([[0], np.cumsum(score > floor)])[start]
    many = np.flatnonzero(np.minimum(np.diff(above), config.top_k) > _MANY)
    if not len(many):
        return rows
    edges = np.searchsorted(rows, start)
    parts = []
    for image in range(len(start) - 1):
        own = rows[edges[image] : edges[image + 1]]
        if image in many:
            order = torch.from_numpy(score[own]).sort(descending=True)[1]
            own = own[order.numpy()][: config.max_dets]
        parts.append(own)
    return np.concatenate(parts)


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
    """Set `state` to 2 where a candidate is kept; all is computed in float32, as `torchvision.ops.nms` does.

    Where there are many and classes are told apart, `max_dets` is left to `_cut_many`.

    Up to 1000 candidates `torchvision.ops.batched_nms` tells classes apart by moving the boxes of each to a place of
    their own; the sums are rounded, which decides overlaps that are nearly the threshold. Above, it takes class by class.
    """
    kept = 0
    for image in range(first, last):
        begin = start[image]
        end = begin
        while end < start[image + 1] and end - begin < top_k and score[end] > floor:
            end += 1
        many = end - begin > 1000
        moved = agnostic == 0 and not many
        lowest = np.float32(0)
        highest = np.float32(-np.inf)
        for row in range(begin, end):
            state[row] = 1
            for k in range(4):
                lowest = min(lowest, boxes[row, k])
                highest = max(highest, boxes[row, k])
        across = agnostic == 1 or (moved and lowest < 0)
        step = highest + np.float32(1) if moved else np.float32(0)
        found = 0
        for row in range(begin, end):
            if state[row] != 1:
                continue
            if found == max_dets and (agnostic == 1 or not many):
                state[row] = 0
                continue
            state[row] = 2
            found += 1
            move = np.float32(label[row]) * step
            x1, y1 = boxes[row, 0] + move, boxes[row, 1] + move
            x2, y2 = boxes[row, 2] + move, boxes[row, 3] + move
            area = (x2 - x1) * (y2 - y1)
            for other in range(row + 1, end):
                if state[other] != 1 or (label[other] != label[row] and not across):
                    continue
                shift = np.float32(label[other]) * step
                u1, v1 = boxes[other, 0] + shift, boxes[other, 1] + shift
                u2, v2 = boxes[other, 2] + shift, boxes[other, 3] + shift
                width = max(np.float32(0), min(x2, u2) - max(x1, u1))
                height = max(np.float32(0), min(y2, v2) - max(y1, v1))
                common = width * height
                if common / (area + (u2 - u1) * (v2 - v1) - common) > iou:
                    state[other] = 0
        kept += found
    return kept
