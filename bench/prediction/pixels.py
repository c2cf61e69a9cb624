"""Images in any of the usual forms as 8-bit RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.data.images import read_image, to_rgb
from metrics.errors import InputError


def rgb_pixels(image: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image.

    Args:
        image: a path, read as `bench.data.images.read_image` does; a `PIL.Image.Image`, of which EXIF rotation is applied; a
            (H, W, 3) or (H, W) uint8 array, RGB or grey; a (3, H, W) or (1, H, W) tensor, uint8, or floating point in [0, 1].

    Raises:
        InputError: another type, shape or range of values. Arrays in BGR, as OpenCV reads them, cannot be told from RGB: pass
            ``image[..., ::-1]``.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        upright = ImageOps.exif_transpose(image)
        return np.array(to_rgb("image", upright))
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if hasattr(image, "detach"):
        return _of_tensor(image)
    raise InputError(
        f"image: {type(image).__name__}; expected a path, a Pillow image, an (H, W, 3) uint8 array in RGB, or a (3, H, W) tensor"
    )


def _of_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise InputError(
            f"image: an array {array.shape} of {array.dtype}; expected (H, W, 3) in RGB, or (H, W) in grey, of uint8"
        )
    if not array.size:
        raise InputError(f"image: an array {array.shape} without pixels")
    return np.ascontiguousarray(np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array)


def _of_tensor(tensor: Any) -> NDArray[np.uint8]:
    tensor = tensor.detach().cpu()
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise InputError(
            f"image: a tensor {tuple(tensor.shape)}; expected (3, H, W) in RGB, or (1, H, W) in grey"
        )
    if tensor.is_floating_point():
        if tensor.numel() and not (tensor.min() >= 0 and tensor.max() <= 1):
            raise InputError(
                f"image: a tensor of values from {tensor.min():g} to {tensor.max():g}; expected floating point in [0, 1], without "
                "normalisation, or uint8"
            )
        tensor = (tensor * 255).round().byte()
    return _of_array(tensor.permute(1, 2, 0).expand(-1, -1, 3).numpy())
