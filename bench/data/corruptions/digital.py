"""Changes by processing: contrast, elastic distortion, pixelation and JPEG compression."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.data.corruptions.blur import sampled

Floats = NDArray[np.float64]

_SIDE = 244.0
"""Pixels that distances of the paper's program refer to; here they grow with the image."""


def contrast(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Values nearer to the mean of their colour."""
    kept = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]
    mean = image.mean(axis=(0, 1), keepdims=True)
    return np.asarray((image - mean) * kept + mean)


def elastic_transform(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """A random affine distortion, then displacements that vary smoothly over the image; boxes stay where they are."""
    reach, smoothness, affine = (
        (2.0, 0.7, 0.1),
        (2.0, 0.08, 0.2),
        (0.05, 0.01, 0.02),
        (0.07, 0.01, 0.02),
        (0.12, 0.01, 0.02),
    )[severity - 1]
    height, width = image.shape[:2]
    side = min(height, width)
    centre, third = np.array([width, height]) / 2, side / 3
    before = np.array([centre + third, [centre[0] + third, centre[1] - third], centre - third], np.float64)
    after = before + rng.uniform(-affine, affine, before.shape) * side
    # The distorted image at a place shows the original at the place that the affine map leads back to.
    back = np.linalg.solve(np.c_[after, np.ones(3)], before)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    shift = [
        gaussian_filter(rng.uniform(-1, 1, (height, width)), smoothness * side, mode="reflect", truncate=3)
        * reach
        * side
        for _ in range(2)
    ]
    x, y = x + shift[0], y + shift[1]
    return sampled(
        image, x * back[0, 1] + y * back[1, 1] + back[2, 1], x * back[0, 0] + y * back[1, 0] + back[2, 0]
    )


def pixelate(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """A smaller image, enlarged again by repeating its pixels."""
    factor = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    height, width = image.shape[:2]
    small = max(1, int(width * factor)), max(1, int(height * factor))
    made = (
        _picture(image).resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.NEAREST)
    )
    return np.asarray(made, np.float64) / 255


def jpeg_compression(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Compression as JPEG of low quality."""
    quality = (25, 18, 15, 10, 7)[severity - 1]
    buffer = io.BytesIO()
    _picture(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float64) / 255


def _picture(image: Floats) -> Image.Image:
    return Image.fromarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8))
