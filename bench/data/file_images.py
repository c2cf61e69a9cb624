"""Images of a split that are files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.images import read_image
from metrics.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class FileImages:
    """Loads image i; can be sent to other processes.

    Attributes:
        paths: of the files.
        upright: whether the EXIF rotation of each is applied.
        sizes: (I, 2) (height, width) of each image as it is loaded; 0 if unknown.
    """

    paths: tuple[str, ...]
    upright: NDArray[np.bool_]
    sizes: NDArray[np.int32]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        path = Path(self.paths[index])
        image = read_image(path, upright=bool(self.upright[index]))
        height, width = self.sizes[index].tolist()
        if height and width and image.shape[:2] != (height, width):
            raise InputError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but annotated as {width}x{height}; the file has "
                f"changed, or was not checked: set data.check=header"
            )
        return image
