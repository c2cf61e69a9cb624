"""How often each image counts: rows of small whole numbers that all runs share, so that differences are paired."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError

Weights = NDArray[np.uint8]
"""(B, I): in replicate b image i counts ``weights[b, i]`` times."""


def image_weights(images: int, resamples: int, seed: int = 0) -> Weights:
    """Each row is a draw of as many images as there are, with replacement.

    Args:
        images: I, at least 1.
        resamples: B. The rows of a smaller B are the first of a larger.
        seed: the same seed gives the same rows on every machine.

    Returns:
        (B, I); each row sums to I.

    Raises:
        InputError: no images, no resamples, or a seed below 0.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife", section 1.
    """
    _check_count("images", images)
    return unit_weights(np.arange(images), resamples, seed)


def unit_weights(unit: ArrayLike, resamples: int, seed: int = 0) -> Weights:
    """Each row is a draw of as many units (videos, patients, scenes) as there are, with all their images.

    Args:
        unit: (I,) index in [0, U) of each image's unit, as `unit_index` gives it.
        resamples: B.
        seed: see `image_weights`.

    Returns:
        (B, I). The images of a unit count equally often; a row sums to I only where units are of one size.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (whole clusters are drawn).
    """
    _check_count("resamples", resamples)
    if seed < 0:
        raise InputError(f"seed: expected a whole number of at least 0, got {seed}")
    of = np.asarray(unit)
    _check_count("images", len(of))
    units = int(of.max()) + 1
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = np.empty((resamples, len(of)), np.uint8)
    for row in weights:
        drawn = np.bincount(rng.integers(0, units, units), minlength=units)
        assert drawn.max() <= np.iinfo(np.uint8).max, "less likely than 1 in 10**500"
        row[:] = drawn[of]
    return weights


def leave_one_out_weights(unit: NDArray[np.intp], first: int, last: int) -> Weights:
    """(last - first, I): row r counts all images once but those of unit ``first + r``."""
    return np.not_equal(unit[None, :], np.arange(first, last)[:, None]).astype(np.uint8)


def swap_weights(unit: NDArray[np.intp], permutations: int, seed: int = 0) -> Weights:
    """(P, 2 I) zeros and ones: whether A's detections of each image count, and then whether B's do; never both.

    Args:
        unit: (I,) index of each image's unit; a unit's images change sides together.
        permutations: P.
        seed: of the coin.
    """
    _check_count("permutations", permutations)
    rng = np.random.Generator(np.random.PCG64([seed, 1]))  # another stream than that of the resamples
    stays = rng.integers(0, 2, (permutations, int(unit.max()) + 1), dtype=np.uint8)[:, unit]
    return np.concatenate([stays, 1 - stays], axis=1)


def unit_index(groups: Sequence[object] | None, images: int) -> tuple[NDArray[np.intp], int]:
    """Which unit each image belongs to, and how many units there are.

    Args:
        groups: for each image what says to which group it belongs: a name or a number; None: each is a unit alone.
        images: I.

    Raises:
        InputError: not one group for each image, or an image without one (None, NaN).
    """
    if groups is None:
        return np.arange(images), images
    if len(groups) != images:
        raise InputError(f"groups: expected one for each of {images} images, got {len(groups)}")
    place: dict[object, int] = {}
    unit = np.empty(images, np.intp)
    for image, group in enumerate(groups):
        if group is None or group != group:
            raise InputError(f"groups: image {image} has none; give it one, alone in its group if need be")
        unit[image] = place.setdefault(group, len(place))
    return unit, len(place)


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise InputError(f"{name}: expected at least 1, got {count}")
