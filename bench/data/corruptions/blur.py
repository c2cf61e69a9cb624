"""Blur: defocus, frosted glass, motion and zoom."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.signal import oaconvolve

Floats = NDArray[np.float64]


def defocus_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Blur by a disk with a soft edge, as of a lens out of focus."""
    radius, softness = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    reach = radius + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = gaussian_filter((x**2 + y**2 <= radius**2).astype(float), softness)
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    return np.asarray(oaconvolve(padded, (disk / disk.sum())[..., None], mode="valid", axes=(0, 1)))


def glass_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Blur, pixels moved to a random place nearby, and blur, as by frosted glass.

    The paper's program swaps neighbouring pixels one after another; here all pixels are taken from random neighbours at once.
    """
    sigma, distance, times = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[severity - 1]
    height, width = image.shape[:2]
    moved = gaussian_filter(image, (sigma, sigma, 0))
    y, x = np.mgrid[:height, :width]
    for _ in range(times):
        dy, dx = rng.integers(-distance, distance + 1, (2, height, width))
        moved = moved[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
    return np.asarray(gaussian_filter(moved, (sigma, sigma, 0)))


def motion_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Blur along a line that is at most 45 degrees from horizontal, as by a moving camera."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    return along_line(image, radius, sigma, rng.uniform(-45, 45))


def along_line(image: Floats, radius: int, sigma: float, degrees: float) -> Floats:
    """Blur by one half of a Gaussian along a line; the edges of the image are repeated.

    Args:
        image: (H, W) or (H, W, 3).
        radius: half of the length of the line in pixels.
        sigma: standard deviation in pixels.
        degrees: direction of the line.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    height, width = image.shape[:2]
    angle = math.radians(degrees)
    blurred = np.zeros_like(image)
    for step, weight in zip(steps.tolist(), weights.tolist(), strict=True):
        rows = np.clip(np.arange(height) + round(step * math.sin(angle)), 0, height - 1)
        columns = np.clip(np.arange(width) + round(step * math.cos(angle)), 0, width - 1)
        blurred += weight * image[rows[:, None], columns[None]]
    return blurred


def zoom_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Mean of the image and of its enlargements about the centre, as of a camera that moves towards the scene."""
    end, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[severity - 1]
    factors = np.arange(1, end, step)
    return (image + sum(zoomed(image, float(factor)) for factor in factors)) / (len(factors) + 1)


def zoomed(image: Floats, factor: float) -> Floats:
    """The image enlarged about its centre by linear interpolation, in its own size; (H, W) or (H, W, 3)."""
    height, width = image.shape[:2]
    y = (np.arange(height) - (height - 1) / 2) / factor + (height - 1) / 2
    x = (np.arange(width) - (width - 1) / 2) / factor + (width - 1) / 2
    return sampled(image, y[:, None] + 0 * x, x + 0 * y[:, None])


def sampled(image: Floats, y: Floats, x: Floats) -> Floats:
    """(H, W) or (H, W, 3) values at these places, by linear interpolation; beyond its edges the image is mirrored."""
    planes = image[..., None] if image.ndim == 2 else image
    found = np.stack(
        [map_coordinates(planes[..., k], (y, x), order=1, mode="reflect") for k in range(planes.shape[2])],
        axis=-1,
    )
    return np.asarray(found[..., 0] if image.ndim == 2 else found)
