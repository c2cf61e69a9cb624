"""Size of the network's input from the sizes of the training images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.data.types import Dataset, Split
from metrics.notes import Note
from metrics.plurals import plural

MULTIPLE = 32
"""Sides are multiples of this: the coarsest stride of usual backbones."""

_MIN_SIDE = 64
_SAMPLE = 32
"""Images that are read if no size is known without reading them."""


def input_size(sizes: NDArray[np.integer], pixels: int) -> tuple[int, int]:
    """(height, width) with about `pixels` pixels and the median aspect ratio of images of (height, width) `sizes`, (I, 2).

    Sides are multiples of 32, at least 64. I is at least 1, and all sizes are positive.
    """
    ratio = math.exp(float(np.median(np.log(sizes[:, 0] / sizes[:, 1]))))
    height, width = (
        max(_MIN_SIDE, MULTIPLE * round(side / MULTIPLE))
        for side in (math.sqrt(pixels * ratio), math.sqrt(pixels / ratio))
    )
    return height, width


def input_size_of(dataset: Dataset, pixels: int) -> tuple[tuple[int, int], Note]:
    """Size of the input for the training images of a data set, and a note about it; see `input_size`.

    A data set that is drawn states the size of its images as its default of ``image.size``, and nothing is drawn for this.
    If the sizes of the images are not known without reading them, up to 32 are read.
    """
    default = dataset.defaults.get("image.size")
    if default is not None:
        sizes, origin = np.array([default]), f"the images of {dataset.name}"
    else:
        sizes = _known_sizes(dataset.splits["train"])
        origin = plural(len(sizes), "training image")
    height, width = input_size(sizes, pixels)
    text = (
        f"image.size: {height},{width} (height, width), by the median aspect ratio of {origin} and "
        f"image.pixels={pixels}"
    )
    values = {"height": height, "width": width, "pixels": pixels, "images": len(sizes)}
    return (height, width), Note("input_size", text, "image.size", values)


def _known_sizes(split: Split) -> NDArray[np.integer]:
    sizes: NDArray[np.integer] = split.truth.catalog.sizes
    sizes = sizes[(sizes > 0).all(axis=1)]
    if len(sizes):
        return sizes
    chosen = np.unique(np.linspace(0, len(split) - 1, _SAMPLE).astype(int))
    return np.array([split.load(int(index)).shape[:2] for index in chosen])
