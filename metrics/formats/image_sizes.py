"""Sizes of image files, from their headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError


def image_sizes(images: Sequence[Path]) -> NDArray[np.int64]:
    """(I, 2) height and width of each image as it is shown.

    Raises:
        InputError: a file does not exist, or is no image.
    """
    from PIL import Image, UnidentifiedImageError

    sizes = []
    for path in images:
        try:
            with Image.open(path) as image:
                rotated = image.getexif().get(0x0112, 1) >= 5  # rotated by 90 degrees
                sizes.append(image.size if rotated else image.size[::-1])
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such image") from error
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: cannot be read as an image: {error}") from error
    return np.array(sizes, np.int64).reshape(-1, 2)
