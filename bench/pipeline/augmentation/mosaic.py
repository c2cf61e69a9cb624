"""Mosaic: four images around a random point (Bochkovskiy et al. 2020, arXiv:2004.10934, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.pipeline.augmentation.labelled_image import LabelledImage, clip_boxes
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import place, resize, resize_label_map
from bench.pipeline.view import View
from metrics.pixel_labels import IGNORED

MARGIN = 0.2
"""Smallest distance of the point from the edges, as a fraction of the sides."""


def make_mosaic(
    images: Sequence[LabelledImage], image: ImageConfig, smallest: float, min_visible: float
) -> LabelledImage:
    """The network's input of four images, each in a quarter around a random point.

    Each is resized once, by a random factor relative to its size as the only image, and a random window of it is shown
    where it is larger than its quarter. Where it is smaller, it lies at the point, and the rest is padding.

    Args:
        images: four images, in the order left above, right above, left below, right below.
        image: settings of the network's input.
        smallest: smallest factor, at most 1, which is the largest.
        min_visible: see `clip_boxes`.
    """
    height, width = image.size
    drawn = torch.rand(2 + 3 * len(images)).tolist()
    x, y = (
        round((MARGIN + (1 - 2 * MARGIN) * value) * side)
        for value, side in zip(drawn, (width, height), strict=False)
    )
    quarters = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    canvas = np.full((3, height, width), image.fill, np.uint8)
    label_map = None if images[0].label_map is None else torch.full((height, width), IGNORED).to(torch.uint8)
    boxes: list[Tensor] = []
    labels: list[Tensor] = []
    areas: list[tuple[int, int, int, int]] = []
    for k, (one, quarter) in enumerate(zip(images, quarters, strict=True)):
        left, top, right, bottom = quarter
        if right == left or bottom == top:
            continue
        scale = smallest + (1 - smallest) * drawn[2 + 3 * k]
        (new_height, new_width), _ = place(one.size, image)
        columns = _visible(one.size[1], scale * new_width, right - left, drawn[3 + 3 * k])
        rows = _visible(one.size[0], scale * new_height, bottom - top, drawn[4 + 3 * k])
        # An image that is smaller than its quarter touches the point.
        left = right - columns[2] if k % 2 == 0 else left
        top = bottom - rows[2] if k < 2 else top
        view, size = View(columns[0], rows[0], columns[1], rows[1]), (rows[2], columns[2])
        tile = resize(view.cut(one.image), size)
        canvas[:, top : top + size[0], left : left + size[1]] = tile.numpy()
        if label_map is not None and one.label_map is not None:
            label_map[top : top + size[0], left : left + size[1]] = resize_label_map(
                view.cut(one.label_map), size
            )
        boxes.append(_moved(one.boxes, view, size, (top, left)))
        labels.append(one.labels)
        areas.append((left, top, left + size[1], top + size[0]))
    windows = np.repeat(np.array(areas, np.float32), [len(each) for each in labels], axis=0)
    kept = clip_boxes(torch.cat(boxes), torch.cat(labels), windows, min_visible)
    return LabelledImage(torch.from_numpy(canvas), *kept, label_map)


def _moved(boxes: Tensor, view: View, size: tuple[int, int], corner: tuple[int, int]) -> Tensor:
    """Boxes in a view that was resized to (height, width) `size` and lies at the (top, left) `corner`, not clipped."""
    x, y = size[1] / view.width, size[0] / view.height
    moved = np.subtract(boxes.numpy(), np.array([view.left, view.top] * 2, np.float32))
    moved *= np.array([x, y, x, y], np.float32)
    moved += np.array([corner[1], corner[0]] * 2, np.float32)
    return torch.from_numpy(moved)


def _visible(side: int, new_side: float, room: int, position: float) -> tuple[int, int, int]:
    """The part of an image's side that is shown: its first pixel, its pixels, and its pixels in the mosaic.

    Args:
        side: of the image.
        new_side: of the whole image in the mosaic.
        room: of its quarter.
        position: of the part among all possible ones, in [0, 1).
    """
    if new_side <= room:
        return 0, side, max(int(new_side), 1)
    shown = min(max(round(side * room / new_side), 1), side)
    return int(position * (side - shown + 1)), shown, room
