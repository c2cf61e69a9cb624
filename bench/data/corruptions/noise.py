"""Noise: Gaussian, shot and impulse noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gaussian_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Noise of a sensor in poor light."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    return image + rng.normal(0, deviation, image.shape)


def shot_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Poisson noise of few photons."""
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return np.asarray(rng.poisson(np.clip(image, 0, 1) * photons) / photons)


def impulse_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Salt and pepper on single colour values."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    hit = rng.random(image.shape) < share
    return np.where(hit, rng.integers(0, 2, image.shape), image)
