"""Whole images at their size in the network's input, kept in memory that forked processes share."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.pipeline.placement import resize

Size = tuple[int, int]


class FittedImages:
    """Resizes each image once, as `bench.pipeline.placement.resize` does; nobody may change the result.

    Args:
        size: (height, width) of the network's input, which contains every resized image.
        count: number of images to keep, the first ones; others are resized each time.
    """

    def __init__(self, size: Size, count: int) -> None:
        self._size, self._count = size, count
        # The system provides a page when it is written for the first time.
        self._pixels = np.frombuffer(mmap.mmap(-1, max(count, 1) * size[0] * size[1] * 3), np.uint8)
        self._known = np.frombuffer(mmap.mmap(-1, max(count, 1)), np.uint8)

    def __call__(self, index: int, pixels: Tensor, size: Size) -> Tensor:
        """Pixels (3, H, W) of image `index` at (height, width) `size`, which is always the same for an image."""
        if index >= self._count or pixels.shape[-2:] == size:
            return resize(pixels, size)
        start = index * self._size[0] * self._size[1] * 3
        kept = self._pixels[start : start + size[0] * size[1] * 3].reshape(*size, 3)
        if not self._known[index]:
            kept[:] = resize(pixels, size).permute(1, 2, 0).numpy()
            self._known[index] = 1
        return torch.from_numpy(kept).permute(2, 0, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """For processes that are not forked, which begin with an empty memory."""
        return type(self), (self._size, self._count)
