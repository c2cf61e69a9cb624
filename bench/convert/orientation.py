"""Boxes and image files under EXIF rotation: from the stored pixels to the upright image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, JpegImagePlugin

from metrics.errors import InputError

_MIRRORED_X = (2, 3, 6, 7)
_MIRRORED_Y = (3, 4, 7, 8)
_TRANSPOSED = (5, 6, 7, 8)


def upright_boxes(
    xywh: NDArray[np.float64], orientation: int, stored: tuple[int, int]
) -> NDArray[np.float64]:
    """Boxes of stored pixels on the upright image.

    Args:
        xywh: (N, 4) in pixels of the stored image.
        orientation: EXIF orientation, 1 to 8.
        stored: (height, width) of the stored image.
    """
    x, y, w, h = xywh.T
    height, width = stored
    if orientation in _TRANSPOSED:
        x, y, w, h, width, height = y, x, h, w, height, width
    if orientation in _MIRRORED_X:
        x = width - (x + w)
    if orientation in _MIRRORED_Y:
        y = height - (y + h)
    return np.stack([x, y, w, h], axis=1)


def write_upright(source: Path, target: Path) -> None:
    """Write an image with its EXIF rotation applied to the pixels, without the orientation in its metadata.

    A JPEG is encoded again with its own quantization tables, other formats without loss.

    Args:
        source: an image whose orientation is not 1.
        target: the file to write; its suffix is kept, and the format is that of `source`.

    Raises:
        InputError: the image cannot be decoded, or its format not written.
        OSError: the new file cannot be written.
    """
    try:
        with Image.open(source) as image:
            format = "JPEG" if image.format in ("JPEG", "MPO") else image.format
            options: dict[str, object] = {}
            if format == "JPEG":
                options = {
                    "qtables": image.quantization,  # type: ignore[attr-defined]  # of JPEG images
                    "subsampling": JpegImagePlugin.get_sampling(image),
                }
            elif format == "WEBP":
                options = {"lossless": True, "exact": True}
            upright = ImageOps.exif_transpose(image)
            for key in ("exif", "icc_profile"):
                if upright.info.get(key):
                    options[key] = upright.info[key]
            upright.save(target, format, **options)
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the image
            raise
        raise InputError(f"{source}: cannot be written upright ({error}); convert it to PNG") from error
