"""Shifts of images at test time: objects of another size, and darker or brighter images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.types import Split
from metrics.tables import AnnotationTable

SHIFTS: Mapping[str, tuple[float, ...]] = {
    "size": (0.5, 0.71, 1.41, 2.0),
    "brightness": (0.25, 0.5, 1.5, 2.0),
}
"""Factors of each kind of shift; 1 is the image as it is."""

VISIBLE = 0.5
"""Objects of which less than this share is left in an enlarged image are ignored in evaluation."""

FILL = 114
"""Grey around an image that was made smaller: the default fill of the network's input."""


def shift(image: NDArray[np.uint8], name: str, factor: float) -> NDArray[np.uint8]:
    """Change an image by a factor.

    Args:
        image: (H, W, 3).
        name: ``size``: scale about the centre to an image of the same size, with grey around it if it is made smaller; ``brightness``:
            multiply all values.
        factor: above 0.

    Returns:
        (H, W, 3), a new array.
    """
    if name == "brightness":
        brighter: NDArray[np.uint8] = np.round(np.clip(image * factor, 0, 255)).astype(np.uint8)
        return brighter
    height, width = image.shape[:2]
    (scale_x, scale_y), (left, top) = _scaling((height, width), factor)
    whole = Image.fromarray(image)
    if factor > 1:
        part = (-left / scale_x, -top / scale_y, (width - left) / scale_x, (height - top) / scale_y)
        return np.array(whole.resize((width, height), Image.Resampling.BILINEAR, box=part))
    made = np.full_like(image, FILL)
    smaller = whole.resize((round(scale_x * width), round(scale_y * height)), Image.Resampling.BILINEAR)
    made[int(top) : int(top) + smaller.height, int(left) : int(left) + smaller.width] = np.asarray(smaller)
    return made


def shifted_split(split: Split, name: str, factor: float) -> Split:
    """The split with shifted images, which are made when they are loaded, and with the boxes moved along; without label maps."""
    digest = hashlib.sha256(f"{name} {factor!r} {split.fingerprint}".encode())
    truth = _scaled_truth(split, factor) if name == "size" else split.truth
    return replace(
        split,
        truth=truth,
        load=_ShiftedImages(split.load, name, factor),
        fingerprint=digest.hexdigest(),
        in_memory=False,
        files=(),
        label_maps=None,
        describe_masks=None,
    )


def _scaling(size: tuple[int, int], factor: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and offset of x and y, x' = scale * x + offset; a smaller image consists of whole pixels."""
    height, width = size
    if factor > 1:
        return (factor, factor), (width * (1 - factor) / 2, height * (1 - factor) / 2)
    inner = max(round(factor * width), 1), max(round(factor * height), 1)
    return (inner[0] / width, inner[1] / height), ((width - inner[0]) // 2, (height - inner[1]) // 2)


def _scaled_truth(split: Split, factor: float) -> AnnotationTable:
    truth = split.truth
    sizes = [
        (int(height), int(width)) if height and width else split.load(at).shape[:2]
        for at, (height, width) in enumerate(truth.catalog.sizes)
    ]
    scalings = np.array([_scaling(size, factor) for size in sizes]).reshape(-1, 2, 2)
    scale, offset = scalings[truth.image, 0], scalings[truth.image, 1]
    low = truth.xywh[:, :2] * scale + offset
    sides = truth.xywh[:, 2:] * scale
    limit = np.array(sizes, np.float64).reshape(-1, 2)[truth.image, ::-1]
    if factor > 1:
        cut_low = np.clip(low, 0, limit)
        cut_sides = np.clip(low + sides, 0, limit) - cut_low
    else:
        cut_low, cut_sides = low, sides
    whole = sides.prod(1)
    visible = np.divide(cut_sides.prod(1), whole, out=np.ones(len(whole)), where=whole > 0)
    kept = (cut_sides > 0).all(1) | (whole == 0)
    moved = replace(
        truth,
        xywh=np.hstack([cut_low, cut_sides]),
        area=truth.area * scale.prod(1) * visible,
        ignored=truth.ignored | (visible < VISIBLE),
    )
    return moved.take(np.flatnonzero(kept))


@dataclass(frozen=True, slots=True, eq=False)
class _ShiftedImages:
    """Loads image i; can be sent to other processes."""

    load: Callable[[int], NDArray[np.uint8]]
    name: str
    factor: float

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return shift(self.load(index), self.name, self.factor)
