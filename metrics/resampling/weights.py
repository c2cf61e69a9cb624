"""Multiplicities of the images in each resample, shared by all runs so that differences are paired."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.plurals import plural

Weights = NDArray[np.uint8]
"""(B, I): in replicate b, image i counts ``weights[b, i]`` times."""


def image_weights(images: int, resamples: int, seed: int = 0) -> Weights:
    """Draw bootstrap resamples of images: each row draws as many images as there are, with replacement.

    Args:
        images: I, at least 1.
        resamples: B. The rows of a smaller B are the first rows of a larger one.
        seed: the same seed gives the same rows on every machine.

    Returns:
        (B, I); each row sums to I.

    Raises:
        InputError: no images, no resamples, or a negative seed.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife", section 1.
    """
    _check_count("images", images)
    return unit_weights(np.arange(images), resamples, seed)


def unit_weights(unit: ArrayLike, resamples: int, seed: int = 0) -> Weights:
    """Draw bootstrap resamples of units (videos, patients, scenes): each row draws as many units as there are.

    Args:
        unit: (I,) resampling unit of each image in [0, U), from `unit_index`.
        resamples: B.
        seed: see `image_weights`.

    Returns:
        (B, I). All images of a unit have the same weight; a row sums to I only if units have equal sizes.

    Raises:
        InputError: as `image_weights`.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (cluster bootstrap).
    """
    _check_count("resamples", resamples)
    if seed < 0:
        raise InputError(f"seed: expected an integer of at least 0, got {seed}")
    unit = np.asarray(unit)
    _check_count("images", len(unit))
    units = int(unit.max()) + 1
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = np.empty((resamples, len(unit)), np.uint8)
    for row in weights:
        drawn = np.bincount(rng.integers(0, units, units), minlength=units)
        assert drawn.max() <= np.iinfo(np.uint8).max, "probability below 1e-500"
        row[:] = drawn[unit]
    return weights


def leave_one_out_weights(unit: NDArray[np.intp], first: int, last: int) -> Weights:
    """Return (last - first, I) weights: row r is 0 for the images of unit ``first + r`` and 1 for all others."""
    return np.not_equal(unit[None, :], np.arange(first, last)[:, None]).astype(np.uint8)


def swap_weights(unit: NDArray[np.intp], permutations: int, seed: int = 0) -> Weights:
    """Draw permutations that swap the detections of two runs on randomly chosen units.

    Args:
        unit: (I,) resampling unit of each image; images of one unit are swapped together.
        permutations: P.
        seed: of the random number generator.

    Returns:
        (P, 2 I) zeros and ones: whether the first run's detections on each image count, then whether the second run's do;
        exactly one of the two.
    """
    _check_count("permutations", permutations)
    rng = np.random.Generator(np.random.PCG64([seed, 1]))  # a stream independent of the resamples
    stays = rng.integers(0, 2, (permutations, int(unit.max()) + 1), dtype=np.uint8)[:, unit]
    return np.concatenate([stays, 1 - stays], axis=1)


def unit_index(groups: Sequence[object] | None, images: int) -> tuple[NDArray[np.intp], int]:
    """Return the resampling unit of each image, and the number of units.

    Args:
        groups: the group of each image, a name or a number; None if each image is a unit.
        images: I.

    Raises:
        InputError: not one group per image, or an image without a group (None, NaN).
    """
    if groups is None:
        return np.arange(images), images
    if len(groups) != images:
        raise InputError(f"groups: expected one for each of {plural(images, 'image')}, got {len(groups)}")
    units: dict[object, int] = {}
    unit = np.empty(images, np.intp)
    for image, group in enumerate(groups):
        if group is None or group != group:
            raise InputError(f"groups: image {image} has none; give it a group of its own if necessary")
        unit[image] = units.setdefault(group, len(units))
    return unit, len(units)


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise InputError(f"{name}: expected at least 1, got {count}")
