"""The part of an image that is shown, decided before a pixel is copied."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class View(NamedTuple):
    """A rectangle in an image, and flips of it. It can extend beyond the image, but overlaps it.

    Attributes:
        left, top: corner of the rectangle, in pixels of the image; negative where it begins before the image.
        width, height: sides of the rectangle, at least 1.
        mirrored: flipped horizontally.
        upside_down: flipped vertically.
    """

    left: int
    top: int
    width: int
    height: int
    mirrored: bool = False
    upside_down: bool = False

    @classmethod
    def whole(cls, size: tuple[int, int]) -> View:
        """All of an image of (height, width) `size`."""
        return cls(0, 0, size[1], size[0])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def inside(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Xyxy of an image of (height, width) `size` in the view before flips."""
        left, top = max(-self.left, 0), max(-self.top, 0)
        return left, top, min(size[1] - self.left, self.width), min(size[0] - self.top, self.height)

    def cut(self, pixels: Tensor) -> Tensor:
        """The pixels (..., H, W) of an image that are in the view, before flips; a view of them, or a copy."""
        height, width = pixels.shape[-2:]
        x0, y0, x1, y1 = self.inside((height, width))
        if (x1 - x0, y1 - y0) == (width, height):
            return pixels
        rows = slice(self.top + y0, self.top + y1)
        columns = slice(self.left + x0, self.left + x1)
        if (
            pixels.ndim == 3 and pixels.stride(0) == 1
        ):  # torch resizes adjacent channels fast if rows are adjacent, too
            part = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()[rows, columns])
            return torch.from_numpy(part).permute(2, 0, 1)
        return pixels[..., rows, columns]

    def flip(self, pixels: Tensor) -> Tensor:
        """The pixels (..., H, W) with the flips of the view."""
        axes = [axis for axis, flipped in ((-1, self.mirrored), (-2, self.upside_down)) if flipped]
        return pixels.flip(axes) if axes else pixels

    def show(self, pixels: Tensor, fill: int) -> Tensor:
        """The view of an image (..., H, W) at its own resolution, with `fill` outside the image."""
        part = self.cut(pixels)
        if part.shape[-2:] != self.size:
            height, width = pixels.shape[-2:]
            x0, y0, x1, y1 = self.inside((height, width))
            canvas = part.new_full((*part.shape[:-2], *self.size), fill)
            canvas[..., y0:y1, x0:x1] = part
            part = canvas
        return self.flip(part)
