"""Label maps of the images of a split, drawn from their masks when they are needed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.image_masks import Frame, Masks, MaskSource
from bench.data.images import read_header
from bench.data.types import MaskFacts
from metrics.pixel_labels import IGNORED
from metrics.plurals import agree, plural


@dataclass(frozen=True, slots=True, eq=False)
class FileLabelMaps:
    """Label map of image i, see `bench.data.types.Split.label_maps`; can be sent to other processes.

    Attributes:
        name: of the split.
        masks: of each image; at least one.
        paths: of the image files.
        upright: whether the EXIF rotation of each image is applied.
        sizes: (I, 2) (height, width) of each image as it is loaded; 0 if unknown.
    """

    name: str
    masks: Masks
    paths: tuple[Path, ...]
    upright: NDArray[np.bool_]
    sizes: NDArray[np.int32]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8; `IGNORED` everywhere for an image without a mask.

        Raises:
            InputError: the mask cannot be read, or does not belong to the image.
        """
        assert self.masks is not None
        mask, path, upright = self.masks[index], self.paths[index], bool(self.upright[index])
        height, width = self.sizes[index].tolist()
        if not height or not width:
            header = read_header(path)
            height, width = header.upright if upright else header.stored
        if mask is None:
            return np.full((height, width), IGNORED, np.uint8)
        return mask.source.draw(mask.key, Frame((height, width), path, upright), mask.values)

    def describe(self) -> MaskFacts:
        """Read what the masks are drawn from, and describe it.

        Raises:
            InputError: the masks cannot be read.
        """
        assert self.masks is not None
        keys: dict[MaskSource, list[Hashable]] = {}
        for mask in self.masks:
            if mask is not None:
                keys.setdefault(mask.source, []).append(mask.key)
        counts: Counter[str] = Counter()
        contents = {}
        for source, of_source in keys.items():
            counts.update(source.count(of_source))
            contents[source] = source.digest(of_source)
        digest = hashlib.sha256()
        for mask in self.masks:
            digest.update(b"-" if mask is None else contents[mask.source] + repr(mask.values).encode())
        images = sum(map(len, keys.values()))
        return MaskFacts(images, _notes(self.name, counts, images, len(self.masks)), digest.hexdigest())


def _notes(name: str, counts: Counter[str], masked: int, images: int) -> tuple[str, ...]:
    notes = []
    if masked < images:
        notes.append(
            f"{name}: {images - masked:,} of {plural(images, 'image')} {agree(images - masked, 'has no mask and is', 'have no mask and are')} ignored in label maps"
        )
    if counts["boxes"]:
        notes.append(
            f"{name}: {counts['boxes']:,} of {plural(counts['boxes'] + counts['masks'], 'object')} {agree(counts['boxes'], 'has no usable mask, and its box is', 'have no usable mask, and their boxes are')} ignored in "
            "label maps"
        )
    if counts["crowds"]:
        notes.append(
            f"{name}: {plural(counts['crowds'], 'crowd region is', 'crowd regions are')} ignored in label maps"
        )
    if counts["masks"] and counts["quadrilaterals"] == counts["masks"]:
        notes.append(
            f"{name}: all {plural(counts['masks'], 'mask has', 'masks have')} four corners; if they are boxes, upright or rotated, label maps show boxes"
        )
    return tuple(notes)
