"""Splits whose images are decoded at a fraction of their size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.data.file_images import FileImages
from bench.data.types import Split

FACTORS = (8, 4, 2)
"""By which images can be reduced: those of JPEG decoders, largest first."""


def reduce_images(split: Split, factors: NDArray[np.int32]) -> Split:
    """The split in pixels of reduced images: sizes, boxes, areas and label maps with them.

    It is a split like any other, so that whatever keeps images keeps reduced ones. Its fingerprint is that of the images in their
    whole size.

    Args:
        split: of image files (`can_be_reduced`).
        factors: (I,) 1, or one of `FACTORS`, by which the sides of each image are divided; 1 where its size is unknown.
    """
    assert isinstance(split.load, FileImages)
    truth, catalog = split.truth, split.truth.catalog
    sizes = -(-catalog.sizes // factors[:, None])
    of_objects = factors[truth.image].astype(np.float64)
    reduced = replace(
        truth,
        catalog=replace(catalog, sizes=sizes),
        xywh=truth.xywh / of_objects[:, None],
        area=truth.area / of_objects**2,
    )
    maps = None if split.label_maps is None else _ReducedLabelMaps(split.label_maps, factors)
    return replace(split, truth=reduced, load=replace(split.load, factors=factors), label_maps=maps)


def can_be_reduced(split: Split) -> bool:
    """Whether `reduce_images` can reduce the images of the split: they are files, neither drawn nor changed when they are loaded."""
    return isinstance(split.load, FileImages)


@dataclass(frozen=True, slots=True, eq=False)
class _ReducedLabelMaps:
    """Label map of image i, of which each pixel has the value at the centre of its square; can be sent to other processes."""

    label_maps: Callable[[int], NDArray[np.uint8]]
    factors: NDArray[np.int32]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        label_map, factor = self.label_maps(index), int(self.factors[index])
        rows, columns = (
            np.minimum(np.arange(factor // 2, side + factor // 2, factor), side - 1)
            for side in label_map.shape
        )
        reduced: NDArray[np.uint8] = label_map[rows[:, None], columns]
        return reduced
