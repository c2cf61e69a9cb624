"""Masks of annotated images, before they are drawn: where the mask of an image is, and what its classes mean."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

IGNORED_CLASS = -1
"""Value of pixels of a class that is ignored; as uint8 it is `metrics.pixel_labels.IGNORED`."""


class Frame(NamedTuple):
    """The pixels of an image as it is loaded.

    Attributes:
        size: (height, width).
        path: of its file.
        upright: whether its EXIF rotation is applied.
    """

    size: tuple[int, int]
    path: Path
    upright: bool


class MaskSource(Protocol):
    """The masks of an annotation file, or of a folder. It is sent to worker processes, and reads when it is first asked."""

    def draw(self, key: Hashable, frame: Frame, values: Sequence[int]) -> NDArray[np.uint8]:
        """Label map of an image.

        Args:
            key: of the image in this source.
            frame: the image.
            values: value of the pixels of each class of this source.

        Raises:
            InputError: the mask cannot be read, or does not belong to the image.
        """
        ...

    def digest(self, keys: Sequence[Hashable]) -> bytes:
        """Hash of the contents of the masks of some images."""
        ...

    def count(self, keys: Sequence[Hashable]) -> Mapping[str, int]:
        """Numbers to report of the masks of some images, by what they count; see `bench.data.label_maps`."""
        ...


class ImageMask(NamedTuple):
    """Where the mask of an image is.

    Attributes:
        source: has the mask.
        key: of the image in the source.
        values: for each class of the source, the value of its pixels: 0 is background, 1 + label a class, `IGNORED_CLASS`.
    """

    source: MaskSource
    key: Hashable
    values: tuple[int, ...]


Masks = tuple[ImageMask | None, ...] | None
"""Of each image; None for an image without a mask, and instead of all if no image has one."""


def with_values(masks: Masks, new_value: Callable[[int], int]) -> Masks:
    """The masks after a change of classes.

    Args:
        masks: of images.
        new_value: value of the pixels of a class by its label so far.
    """
    if masks is None:
        return None
    known: dict[tuple[int, ...], tuple[int, ...]] = {}
    changed: list[ImageMask | None] = []
    for mask in masks:
        if mask is None:
            changed.append(None)
            continue
        if mask.values not in known:
            known[mask.values] = tuple(new_value(v - 1) if v > 0 else v for v in mask.values)
        changed.append(mask._replace(values=known[mask.values]))
    return tuple(changed)
