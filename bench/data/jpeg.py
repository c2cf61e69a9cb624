"""JPEG files decoded by torchvision: the pixels that Pillow gives, without its copies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


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
