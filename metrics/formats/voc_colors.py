"""Colours and numbers of the classes in Pascal VOC's ``SegmentationClass``: the official ones, and those of ``labelmap.txt``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.formats.untrusted import read_text

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The classes of Pascal VOC; class k has number k + 1 in ``SegmentationClass``, 0 is background."""

VOID = 255
"""Number of pixels without a class: borders, and difficult objects."""


def voc_colors() -> NDArray[np.uint8]:
    """(256, 3) RGB colour of each number in VOC's palette.

    The bits of the number go to red, green, blue in turn, from its lowest bit and from the highest bit of the colours, as in the
    development kit of VOC.
    """
    colors = np.zeros((256, 3), np.int64)
    for place in range(8):
        bit = (np.arange(256) >> place) & 1
        colors[:, place % 3] |= bit << (7 - place // 3)
    return colors.astype(np.uint8)


def color_codes(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Colours (..., 3) RGB as single numbers (...): red * 65,536 + green * 256 + blue."""
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def read_colors(path: Path) -> dict[int, str]:
    """The class of each colour, as in `color_codes`, by a ``labelmap.txt`` of CVAT or Datumaro.

    A line is ``name:r,g,b:parts:actions``, and one that starts with ``#`` is a comment.

    Raises:
        InputError: a line is of another form, or two classes have one colour.
    """
    classes: dict[int, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *fields = line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":")
        values = [value.strip() for value in fields[0].split(",")] if fields else []
        if len(values) != 3 or not all(v.isascii() and v.isdecimal() and int(v) < 256 for v in values):
            raise InputError(f"{path}:{number}: expected name:r,g,b:parts:actions, got {line.strip()[:60]!r}")
        red, green, blue = map(int, values)
        code = red << 16 | green << 8 | blue
        if classes.setdefault(code, name.strip()) != name.strip():
            raise InputError(
                f"{path}:{number}: {name.strip()!r} has the colour of {classes[code]!r}; give each class its own"
            )
    return classes
