"""Images of one split with their ground truth, as they are converted and fixed, and how an image is written elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from bench.convert.orientation import write_upright
from metrics.errors import InputError
from metrics.tables import AnnotationTable

Link = Literal["copy", "hard"]
"""How unchanged image files are written: as copies, or as hard links, which are the same file under another name."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a data set.

    Attributes:
        name: its path in the data set, for people; its last part is the name of the written file.
        file: the file; None if the image is drawn.
        draw: return (H, W, 3) uint8 RGB of an image without a file.
        orientation: EXIF orientation of the file.
        stored_boxes: whether the annotations are on the stored pixels, without EXIF rotation.
        made_upright: whether it is written with the rotation applied.
        written: its name in the annotations; empty if they have none.
    """

    name: str
    file: Path | None
    draw: Callable[[], NDArray[np.uint8]] | None = None
    orientation: int = 1
    stored_boxes: bool = False
    made_upright: bool = False
    written: str = ""

    def write(self, target: Path, link: Link = "copy") -> bool:
        """Write the image to a new file; return whether a hard link was wanted and a copy made.

        Raises:
            InputError: the file cannot be read any more.
            OSError: the new file cannot be written.
        """
        if self.file is None:
            assert self.draw is not None
            Image.fromarray(self.draw()).save(target)
            return False
        try:
            with self.file.open("rb"):
                pass
        except OSError as error:
            raise InputError(f"{self.file}: cannot be read ({error.strerror}); start again") from error
        if self.made_upright:
            write_upright(self.file, target)
            return False
        if link == "hard":
            try:
                os.link(os.path.realpath(self.file), target)
                return False
            except OSError:  # another disk, or a file system without hard links
                pass
        shutil.copyfile(self.file, target)
        return link == "hard"


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """The images of one split, or of a data set without splits.

    Attributes:
        purpose: ``train``, ``val`` or ``test``; None without splits.
        truth: ground truth, in pixels of the upright images (of the stored ones where `Picture.stored_boxes`).
        pictures: one for each image of the catalog.
    """

    purpose: str | None
    truth: AnnotationTable
    pictures: tuple[Picture, ...]

    def __post_init__(self) -> None:
        assert len(self.pictures) == len(self.truth.catalog.image_ids)

    def select(self, images: ArrayLike) -> ImageSet:
        """Only the images of a (I,) mask or of these indices."""
        kept = self.truth.catalog.image_indices(images)
        return replace(
            self, truth=self.truth.select(kept), pictures=tuple(self.pictures[i] for i in kept.tolist())
        )

    def with_rows(self, rows: NDArray[np.bool_], **columns: NDArray[np.generic]) -> ImageSet:
        """The same images with some of the objects, after replacing columns of all objects."""
        every = self.truth.columns() | columns
        table = AnnotationTable(self.truth.catalog, **{name: column[rows] for name, column in every.items()})
        return replace(self, truth=table)
