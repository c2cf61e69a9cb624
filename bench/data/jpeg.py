"""JPEG files decoded by torchvision: the pixels that Pillow gives, without its copies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.jpeg_header import plain_size

_HEAD = 4096
"""Bytes that are read first, because files of other formats can be large."""


def read_plain_jpeg(path: Path) -> NDArray[np.uint8] | None:
    """Pixels of a colour JPEG without EXIF data, which is most of a data set: opening it by Pillow takes as long as resizing it.

    Args:
        path: the file.

    Returns:
        (H, W, 3) uint8 RGB; None for other files, those above Pillow's first limit of pixels, and where reading or decoding
        fails: then Pillow decides.
    """
    decode = _decoder()
    if decode is None:
        return None
    try:
        with path.open("rb", buffering=0) as file:
            content = file.read(_HEAD)
            if not content.startswith(b"\xff\xd8"):
                return None
            content += file.readall()
        size = plain_size(content)
        if size is None or size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or 0):
            return None
        pixels = decode(np.frombuffer(bytearray(content), np.uint8))
    except (RuntimeError, OSError):
        return None
    return pixels if pixels.shape[:2] == size else None


def decode_jpeg(path: Path, image: Image.Image) -> NDArray[np.uint8] | None:
    """Pixels of a colour JPEG, without EXIF rotation.

    Args:
        path: the file.
        image: the file as Pillow has opened it, which checks its size; its pixels need not be loaded.

    Returns:
        (H, W, 3) uint8 RGB; None for other files, among them JPEG in grey or CMYK, and where decoding fails: then Pillow
        decides whether the file is broken.
    """
    if image.format != "JPEG" or image.mode != "RGB":
        return None
    decode = _decoder()
    if decode is None:
        return None
    try:
        pixels = decode(np.fromfile(path, np.uint8))
    except (RuntimeError, OSError):
        return None
    return pixels if pixels.shape[:2] == (image.height, image.width) else None


@cache
def _decoder() -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Return a decoder from the bytes of a file to (H, W, 3) uint8; None where torchvision has none.

    Torch is imported here, because looking at headers does not need it.
    """
    import torch

    try:
        from torchvision.io import ImageReadMode
        from torchvision.io import decode_jpeg as decode
    except ImportError:
        return None

    def decode_bytes(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
        tensor: Any = decode(torch.from_numpy(content), ImageReadMode.RGB)
        return np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())

    return decode_bytes
