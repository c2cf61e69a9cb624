"""Weather: snow, frost, fog and bright light."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.data.corruptions.blur import along_line, zoomed

Floats = NDArray[np.float64]

_GREY = np.array([0.299, 0.587, 0.114])


def snow(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Falling flakes in two directions over a paler image."""
    mean, deviation, size, threshold, radius, sigma, kept = (
        (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[severity - 1]
    flakes = zoomed(rng.normal(mean, deviation, image.shape[:2]), size)
    flakes = np.clip(np.where(flakes < threshold, 0.0, flakes), 0, 1)
    flakes = along_line(flakes, radius, sigma, rng.uniform(-135, -45))[..., None]
    grey = (image @ _GREY)[..., None]
    pale = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
    return np.asarray(pale + flakes + flakes[::-1, ::-1])


def frost(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Ice on the lens. The paper's program lays photographs of ice over the image; these crystals are drawn."""
    kept, ice = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[severity - 1]
    return kept * image + ice * _crystals(image.shape[0], image.shape[1], rng)


def fog(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Clouds of fog of all sizes, and less contrast."""
    amount, decay = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[severity - 1]
    height, width = image.shape[:2]
    clouds = plasma(max(height, width), decay, rng)[:height, :width, None]
    largest = float(image.max())
    return np.asarray((image + amount * clouds) * largest / (largest + amount))


def brightness(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """A larger value in the colour space HSV; hue and saturation stay."""
    added = (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]
    value = image.max(axis=2, keepdims=True)
    brighter = np.minimum(value + added, 1.0)
    return np.asarray(np.where(value > 0, image * brighter / np.where(value > 0, value, 1.0), brighter))


def plasma(size: int, decay: float, rng: np.random.Generator) -> Floats:
    """(S, S) clouds in [0, 1] by the diamond-square algorithm, S the power of two from `size` on; they repeat at the edges.

    Args:
        size: least number of pixels.
        decay: noise decreases by the square of this factor where its distance is halved, as in the program of Hendrycks and
            Dietterich, which multiplies the amplitude by itself.
        rng: random numbers.

    Source: Fournier, Fussell and Carpenter 1982.
    """
    side = 2 ** max(1, math.ceil(math.log2(size)))
    grid = np.zeros((side, side))
    step, noise = side, 1.0
    while step >= 2:
        half = step // 2
        corners = grid[::step, ::step]
        total = corners + np.roll(corners, -1, 0)
        total = total + np.roll(total, -1, 1)
        grid[half::step, half::step] = total / 4 + noise * rng.uniform(-1, 1, corners.shape)
        centres = grid[half::step, half::step]
        corners = grid[::step, ::step]
        above = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        grid[::step, half::step] = above / 4 + noise * rng.uniform(-1, 1, corners.shape)
        beside = centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        grid[half::step, ::step] = beside / 4 + noise * rng.uniform(-1, 1, corners.shape)
        step, noise = half, noise / decay**2
    grid -= grid.min()
    return np.asarray(grid / grid.max())


def _crystals(height: int, width: int, rng: np.random.Generator) -> Floats:
    """(H, W, 3) bluish crystals: ridges of clouds, thicker towards the edges of the image."""
    clouds = plasma(max(height, width), math.sqrt(1.5), rng)[:height, :width]
    ridges = 1 - np.abs(2 * clouds - 1)
    fine = gaussian_filter(rng.random((height, width)), 0.7)
    fine = (fine - fine.min()) / max(float(np.ptp(fine)), 1e-9)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    edge = 0.35 + 0.65 * np.maximum(np.abs(y), np.abs(x))
    strength = np.clip(edge * (0.75 * ridges**2 + 0.45 * fine), 0, 1)
    tint = np.array(colorsys.hsv_to_rgb(0.56, 0.12, 1.0))
    return np.asarray(strength[..., None] * tint)
