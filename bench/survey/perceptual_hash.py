"""Perceptual hash of images: 256 signs of low frequencies, which survive JPEG, resizing and small crops.

Of the image as 64 x 64 grey values, the 16 x 16 lowest coefficients of the discrete cosine transform are compared with their
median (pHash, Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.1). Two images look
alike if their hashes differ in at most `MAX_DISTANCE` bits; docs/data.md has the measurement behind it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_SIDE = 64
"""Rows and columns of the image that is transformed."""

FREQUENCIES = 16
"""Rows and columns of coefficients that are kept."""

BITS = FREQUENCIES**2

MAX_DISTANCE = 40
"""Different bits up to which two images look alike."""

ORIENTATIONS = (
    "same",
    "mirrored",
    "upside down and mirrored",
    "turned by 180 degrees",
    "transposed",
    "turned by 90 degrees",
    "turned by 270 degrees",
    "transposed and turned by 180 degrees",
)
"""How an image has to be changed for each of `ImageHash.codes`."""

_BLANK = 1.0
"""Standard deviation in grey values below which an image is nearly of one colour, so that its hash would be noise."""

Code = NDArray[np.uint64]


class ImageHash(NamedTuple):
    """Hashes of an image in all orientations.

    Attributes:
        codes: (8, 4) uint64: 256 bits for each of `ORIENTATIONS`.
    """

    codes: Code


def hash_image(grey: Image.Image) -> ImageHash | None:
    """Hash of an image of mode L; None if it is nearly of one colour."""
    small = grey.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float64)
    if pixels.std() < _BLANK:
        return None
    transform = _cosines()
    coefficients = transform @ pixels @ transform.T
    # A mirror image has the same cosine coefficients, the odd ones with the other sign.
    sign = np.where(np.arange(FREQUENCIES) % 2, -1.0, 1.0)
    codes = []
    for turned in (coefficients, coefficients.T):
        for rows, columns in ((1.0, 1.0), (1.0, sign), (sign[:, None], 1.0), (sign[:, None], sign)):
            codes.append(_code(turned * rows * columns))
    return ImageHash(np.stack(codes))


def _code(coefficients: NDArray[np.float64]) -> Code:
    values = coefficients.ravel()
    # The mean brightness, at 0, is no feature of the image.
    bits = values > np.median(values[1:])
    bits[0] = False
    packed: Code = np.packbits(bits).view(np.uint64)
    return packed


@cache
def _cosines() -> NDArray[np.float64]:
    """(FREQUENCIES, HASH_SIDE): the first rows of the orthonormal discrete cosine transform of type 2."""
    place = (np.arange(HASH_SIDE) + 0.5) / HASH_SIDE
    rows: NDArray[np.float64] = np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * place) * np.sqrt(
        2 / HASH_SIDE
    )
    rows[0] /= np.sqrt(2)
    return rows
