"""Images and their annotations as a format has read them, before their files are checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from bench.data.image_masks import Masks
from bench.data.images import ImageHeader
from metrics.tables import AnnotationTable


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImages:
    """Images of one split, or of a data set without splits, and their ground truth.

    Attributes:
        purpose: ``train``, ``val``, ``test`` or ``trainval``; None for images without a split.
        truth: ground truth.
        paths: the file of each image of the catalog.
        headers: the header of each image, if they were read already.
        masks: of each image, see `bench.data.image_masks`; not read yet.
    """

    purpose: str | None
    truth: AnnotationTable
    paths: tuple[Path, ...]
    headers: tuple[ImageHeader, ...] | None = None
    masks: Masks = None

    def select(self, images: ArrayLike) -> AnnotatedImages:
        """Only the images of these indices."""
        indices = self.truth.catalog.image_indices(images)
        headers = None if self.headers is None else tuple(self.headers[i] for i in indices)
        paths = tuple(self.paths[i] for i in indices)
        masks = None if self.masks is None else tuple(self.masks[i] for i in indices)
        return AnnotatedImages(self.purpose, self.truth.select(indices), paths, headers, masks)
