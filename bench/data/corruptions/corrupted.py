"""Corrupted images: all corruptions by name, and splits whose images are corrupted when they are loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.data.corruptions import blur, digital, noise, weather
from bench.data.types import Split
from metrics.tables import ImageId

Floats = NDArray[np.float64]
Corruption = Callable[[Floats, int, np.random.Generator], Floats]

CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
"""By name, in the order of the paper."""

SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(image: NDArray[np.uint8], name: str, severity: int, image_id: ImageId) -> NDArray[np.uint8]:
    """Corrupt an image; the same id, corruption and severity give the same image.

    Args:
        image: (H, W, 3).
        name: of `CORRUPTIONS`.
        severity: from 1 to 5.
        image_id: seed of the random numbers.

    Returns:
        (H, W, 3), a new array.

    Source: Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations".
    """
    seed = hashlib.blake2b(f"{name}:{severity}:{image_id}".encode(errors="surrogatepass"), digest_size=8)
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed.digest(), "big")))
    changed = CORRUPTIONS[name](image.astype(np.float64) / 255, severity, rng)
    return np.round(np.clip(changed, 0, 1) * 255).astype(np.uint8)


def corrupted_split(split: Split, name: str, severity: int) -> Split:
    """The split with corrupted images, which are made when they are loaded; its ground truth and label maps are unchanged."""
    digest = hashlib.sha256(f"{name} {severity} {split.fingerprint}".encode())
    load = _CorruptedImages(split.load, name, severity, split.truth.catalog.image_ids)
    return replace(split, load=load, fingerprint=digest.hexdigest(), in_memory=False, files=())


@dataclass(frozen=True, slots=True, eq=False)
class _CorruptedImages:
    """Loads image i; can be sent to other processes."""

    load: Callable[[int], NDArray[np.uint8]]
    name: str
    severity: int
    image_ids: tuple[ImageId, ...]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return corrupt(self.load(index), self.name, self.severity, self.image_ids[index])
