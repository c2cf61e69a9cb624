"""Random erasing: rectangles of noise (Zhong et al. 2020, arXiv:1708.04896; cutout: DeVries and Taylor 2017)."""

from __future__ import annotations

import math

import torch

from bench.pipeline.augmentation.labelled_image import LabelledImage, ignore_covered
from metrics.pixel_labels import IGNORED

SMALLEST = 0.02
"""Smallest area of a rectangle, as a fraction of the image, unless the largest is smaller."""

ASPECT = 3.0
"""Largest aspect ratio of a rectangle, and the inverse of the smallest one."""


def erase(image: LabelledImage, count: int, largest: float, min_visible: float) -> LabelledImage:
    """Replace rectangles by noise. Objects of which too little is left are ignored, and so are erased pixels of the label map.

    Args:
        image: the image.
        count: number of rectangles.
        largest: largest area, as a fraction of the image; a rectangle at the edge of the image is cut off.
        min_visible: see `ignore_covered`.
    """
    height, width = image.size
    pixels = image.image.clone()
    covered = torch.zeros((height, width), dtype=torch.bool)
    for area, ratio, x, y in torch.rand(count, 4).tolist():
        smallest = min(SMALLEST, largest)
        size = (smallest + (largest - smallest) * area) * height * width
        aspect = ASPECT ** (2 * ratio - 1)
        half_width, half_height = math.sqrt(size * aspect) / 2, math.sqrt(size / aspect) / 2
        left, right = _span(x * width, half_width, width)
        top, bottom = _span(y * height, half_height, height)
        pixels[:, top:bottom, left:right] = torch.randint(
            0, 256, (3, bottom - top, right - left), dtype=torch.uint8
        )
        covered[top:bottom, left:right] = True
    label_map = None if image.label_map is None else image.label_map.masked_fill(covered, IGNORED)
    return ignore_covered(image._replace(image=pixels, label_map=label_map), covered, min_visible)


def _span(center: float, half: float, side: int) -> tuple[int, int]:
    """First pixel, and the one after the last, of an interval that is cut off at the edges of the image."""
    return max(round(center - half), 0), min(round(center + half), side)
