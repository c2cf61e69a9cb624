"""Images of a split that are files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.images import read_image, read_reduced_image
from metrics.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class FileImages:
    """Loads image i; can be sent to other processes.

    Attributes:
        paths: of the files.
        upright: whether the EXIF rotation of each is applied.
        sizes: (I, 2) (height, width) of each image in its whole size; 0 if unknown.
        factors: (I,) by which each image is reduced, see `bench.data.images.read_reduced_image`; 1 for its whole size. None: all
            in their whole size.
    """

    paths: tuple[str, ...]
    upright: NDArray[np.bool_]
    sizes: NDArray[np.int32]
    factors: NDArray[np.int32] | None = None

    def __call__(self, index: int) -> NDArray[np.uint8]:
        path, upright = Path(self.paths[index]), bool(self.upright[index])
        factor = 1 if self.factors is None else int(self.factors[index])
        image = read_image(path, upright) if factor == 1 else read_reduced_image(path, factor, upright)
        height, width = self.sizes[index].tolist()
        if height and width and image.shape[:2] != (-(-height // factor), -(-width // factor)):
            whole = f"{image.shape[1] * factor}x{image.shape[0] * factor}"
            raise InputError(
                f"{path}: {whole} pixels, but annotated as {width}x{height}; the file has "
                f"changed, or was not checked: set data.check=header"
            )
        return image
