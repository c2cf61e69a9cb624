"""Copy-paste: objects of one image pasted into another.

By masks as Ghiasi et al. 2021 (arXiv:2012.07177), where there are masks; otherwise the box with soft edges, which hide
the cut from the network (Dwibedi et al. 2017, arXiv:1708.01642). Small objects are preferred as by Kisantal et al. 2019
(arXiv:1902.07296).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.pipeline.augmentation.labelled_image import (
    LabelledImage,
    cut_out,
    ignore_covered,
    mirror,
    stretch,
)
from bench.pipeline.objects import TrainingObjects

RESIZED = 1.25
"""Largest factor by which a pasted object is larger or smaller than in its image."""

TRIES = 10
"""Number of places that are tried for each object."""

MAX_HIDDEN = 0.3
"""Largest share of another object's box that a pasted object may cover."""

SOFT = 0.1
"""Width of the soft edge of a box, as a fraction of its sides."""


class Cutting(NamedTuple):
    """An object that was cut out of its image.

    Attributes:
        part: the pixels of its box; its only box is the whole of it.
        alpha: (h, w) float32 in [0, 1], how far each pixel belongs to it.
        by_mask: whether `alpha` is from a mask.
    """

    part: LabelledImage
    alpha: Tensor
    by_mask: bool


def paste_weights(objects: TrainingObjects) -> NDArray[np.float64]:
    """Weight of each training object for being pasted: the inverse of its class's number of objects and of its box's side.

    The side is the square root of the area, so that an object with half the side is pasted twice as often. The weights of a
    class with small objects sum to more than those of one with large objects.

    Returns:
        (G,) weights that sum to 1; empty without objects.
    """
    sides = (objects.boxes[:, 2:] - objects.boxes[:, :2]).astype(np.float64)
    counts = np.bincount(objects.labels) if len(objects.labels) else np.zeros(0, np.int64)
    weights = 1 / (counts[objects.labels] * np.sqrt(np.maximum(sides.prod(1), 1)))
    total: NDArray[np.float64] = weights / max(weights.sum(), np.finfo(np.float64).tiny)
    return total


def draw_rows(cumulated: NDArray[np.float64], objects: TrainingObjects, count: int) -> tuple[int, list[int]]:
    """An image, and which of its objects are pasted: one by the weights of all objects, the others by those of its image.

    Args:
        cumulated: (G,) cumulated weights of `paste_weights`; at least one object.
        objects: of the split.
        count: largest number of objects.

    Returns:
        Index of the image, and rows of `objects`, each once.
    """
    last = len(cumulated) - 1
    row = min(int(np.searchsorted(cumulated, float(torch.rand(())), side="right")), last)
    index = int(np.searchsorted(objects.first, row, side="right")) - 1
    first, end = int(objects.first[index]), int(objects.first[index + 1])
    others = torch.from_numpy(np.diff(cumulated[first:end], prepend=cumulated[first - 1] if first else 0.0))
    others[row - first] = 0
    count = min(count - 1, int((others > 0).sum()))
    drawn = (first + torch.multinomial(others, count)).tolist() if count > 0 else []
    return index, [row, *drawn]


def cut_object(image: LabelledImage, row: int, masks: Tensor | None) -> Cutting:
    """Cut an object out of its image.

    Args:
        image: the image.
        row: of the object in its boxes.
        masks: (H, W) label map of the image; None if there is none. The object has a mask if pixels of its class are in its
            box.
    """
    box, label = image.boxes[row], int(image.labels[row])
    limits = torch.tensor([image.size[1], image.size[0]])
    corner = box[:2].floor().minimum(limits - 1)
    left, top = corner.int().tolist()
    width, height = (box[2:].ceil().minimum(limits) - corner).clamp(min=1).int().tolist()
    window = cut_out(image, left, top, width, height)
    part = window._replace(boxes=window.boxes[row : row + 1], labels=window.labels[row : row + 1])
    if masks is not None:
        own = masks[top : top + height, left : left + width] == label + 1
        if own.any():
            return Cutting(part, own.to(torch.float32), True)
    return Cutting(part, _ramp(height)[:, None] * _ramp(width), False)


def paste(
    image: LabelledImage,
    cuttings: list[Cutting],
    scales: list[tuple[float, float]],
    area: tuple[int, int, int, int],
    flip: bool,
    min_visible: float,
) -> LabelledImage:
    """Paste objects into an image at random places, where they hide little of the objects that are there.

    An object without such a place is left out. Objects of which too little is visible afterwards are ignored.

    Args:
        image: the image.
        cuttings: the objects.
        scales: factor of the width and height of each object, from its image to this one.
        area: xyxy in whole pixels, in which objects are pasted.
        flip: whether objects may be flipped horizontally.
        min_visible: see `ignore_covered`.
    """
    pixels = image.image.clone()
    label_map = None if image.label_map is None else image.label_map.clone()
    taken = image.boxes
    covered = torch.zeros(image.size, dtype=torch.bool)
    pasted: list[LabelledImage] = []
    for cutting, (x_scale, y_scale) in zip(cuttings, scales, strict=True):
        draws = torch.rand(2 + 2 * TRIES).tolist()
        factor = RESIZED ** (2 * draws[0] - 1)
        height, width = cutting.part.size
        size = max(round(height * factor * y_scale), 1), max(round(width * factor * x_scale), 1)
        room = area[3] - area[1] - size[0], area[2] - area[0] - size[1]
        if min(room) < 0:
            continue
        places = torch.tensor(draws[2:]).view(-1, 2) * (torch.tensor(room) + 1)
        corners = places.long().flip(1) + torch.tensor(area[:2])
        place = _first_free(corners, size, taken)
        if place is None:
            continue
        part, alpha = stretch(cutting.part, size), _resized(cutting, size)
        if flip and draws[1] < 0.5:
            part, alpha = mirror(part), alpha.flip(-1)
        left, top = place
        window = (slice(top, top + size[0]), slice(left, left + size[1]))
        pixels[:, *window] = torch.lerp(pixels[:, *window].float(), part.image.float(), alpha).round().byte()
        solid = alpha >= 0.5
        covered[window] |= solid
        if label_map is not None:
            assert part.label_map is not None
            own = part.labels[0].add(1).to(torch.uint8) if cutting.by_mask else part.label_map
            label_map[window] = torch.where(solid, own, label_map[window])
        corner = torch.tensor([left, top, left, top])
        pasted.append(part._replace(boxes=part.boxes + corner))
        taken = torch.cat([taken, pasted[-1].boxes])
    if not pasted:
        return image
    result = ignore_covered(image._replace(image=pixels, label_map=label_map), covered, min_visible)
    return result._replace(
        boxes=torch.cat([result.boxes, *(part.boxes for part in pasted)]),
        labels=torch.cat([result.labels, *(part.labels for part in pasted)]),
    )


def _first_free(corners: Tensor, size: tuple[int, int], taken: Tensor) -> tuple[int, int] | None:
    """The first of (T, 2) (left, top) `corners` where an object of (height, width) `size` hides little of the taken boxes."""
    boxes = torch.cat([corners, corners + torch.tensor([size[1], size[0]])], 1).float()
    shared = torch.minimum(boxes[:, None, 2:], taken[:, 2:]) - torch.maximum(boxes[:, None, :2], taken[:, :2])
    areas = (taken[:, 2:] - taken[:, :2]).prod(1)
    free = (shared.clamp(min=0).prod(2) <= MAX_HIDDEN * areas).all(1).nonzero()
    if not len(free):
        return None
    left, top = corners[int(free[0])].tolist()
    return left, top


def _resized(cutting: Cutting, size: tuple[int, int]) -> Tensor:
    """The alpha of an object at another (height, width): ramps are computed for its size, and masks are resized."""
    if not cutting.by_mask:
        return _ramp(size[0])[:, None] * _ramp(size[1])
    alpha = cutting.alpha[None, None]
    return F.interpolate(alpha, size=size, mode="bilinear", antialias=True)[0, 0]


def _ramp(side: int) -> Tensor:
    """(side,) float32, which rises linearly from both ends to 1."""
    distance = torch.arange(side) + 0.5
    return (torch.minimum(distance, side - distance) / max(SOFT * side, 0.5)).clamp(max=1)
