"""How often each training image is used in an epoch: rare classes, and images without objects."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from detectors.config import Config
from detectors.search_range import Choice, OnlyIf, Range
from metrics.errors import InputError

Rule = Literal["each", "repeat", "balanced", "hard"]


class SamplingConfig(Config):
    """Which training images an epoch consists of."""

    rule: Annotated[Rule, Choice("each", "repeat", "balanced", "hard")] = "each"
    """`each` uses each image once; `repeat` repeats images with rare classes by their repeat factor; `balanced` draws from
    all classes equally often; `hard` uses images with a high loss more often."""
    threshold: Annotated[
        float,
        Field(gt=0, le=1),
        Range(1e-3, 0.5, log=True),
        OnlyIf("train.sampling.rule", options=["repeat"]),
    ] = 1e-3
    """repeat: images with a class that is in a smaller fraction of the training images are repeated."""
    pressure: Annotated[
        float, Field(ge=1, le=1000), Range(1.5, 20, log=True), OnlyIf("train.sampling.rule", options=["hard"])
    ] = 4.0
    """hard: number of times that the image with the highest loss is used for each use of the one with the lowest."""
    background: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Fraction of an epoch's images that have no objects; none: as many as there are."""


def expected_uses(
    labels: NDArray[np.int64], first: NDArray[np.int64], config: SamplingConfig
) -> NDArray[np.float64]:
    """Expected number of times that each of I images is used in an epoch.

    ``repeat`` is the repeat factor of Gupta et al. 2019 (LVIS, arXiv:1908.03195), eq. 1: of a class that is in a
    fraction f of the images, r = max(1, sqrt(t / f)); of an image, the largest of its classes. ``balanced`` draws as many
    images as have objects, each time first a class, each with equal probability, and then one of its images (Shen et al.
    2016, arXiv:1512.05830, section 2.2).

    Args:
        labels: (G,) class of each object.
        first: (I + 1,) the objects of image i are ``first[i]:first[i + 1]``.
        config: settings.

    Returns:
        (I,), of which the sum is a whole number.

    Raises:
        InputError: a share of images without objects is asked for, but there are only images of one kind.
    """
    images = len(first) - 1
    image = np.repeat(np.arange(images), np.diff(first))
    pairs = np.unique(np.column_stack([image, labels]), axis=0)  # an image with a class, once
    empty = np.diff(first) == 0
    uses = np.ones(images)
    if config.rule in ("repeat", "balanced") and len(pairs):
        of_class = np.bincount(pairs[:, 1])
        if config.rule == "repeat":
            factors = np.sqrt(config.threshold * images / of_class[pairs[:, 1]])
            np.maximum.at(uses, pairs[:, 0], factors)
        else:
            chances = np.bincount(pairs[:, 0], 1 / of_class[pairs[:, 1]], images) / np.count_nonzero(of_class)
            uses = np.where(empty, 1.0, chances * np.count_nonzero(~empty))
    if config.background is not None:
        if empty.all() or not empty.any():
            which = "without" if empty.all() else "with"
            raise InputError(
                f"train.sampling.background={config.background:g}: all training images are {which} objects; leave it at none"
            )
        wanted = uses[~empty].sum() * config.background / (1 - config.background)
        uses = np.where(empty, wanted / np.count_nonzero(empty), uses)
    total = np.ceil(uses.sum() - 1e-6)
    return uses if total == uses.sum() else uses * (total / uses.sum())


def hard_uses(
    uses: NDArray[np.float64], losses: NDArray[np.float64], empty: NDArray[np.bool_], config: SamplingConfig
) -> NDArray[np.float64]:
    """Expected number of uses of each of I images in an epoch, the more the higher its loss.

    By the rank r = 0 .. I - 1 of the loss, highest first, it is multiplied by s^(-r / (I - 1)), where s is ``pressure``
    (Loshchilov and Hutter 2015, arXiv:1511.06343, eq. 2 and 3). With a share of images without objects the ranks are
    those among images with objects and among images without, so that the share stays.

    Args:
        uses: (I,) of `expected_uses`.
        losses: (I,) latest loss of each image; NaN, which ranks first, for images that were not used yet.
        empty: (I,) images without objects.
        config: settings.

    Returns:
        (I,) with the sum of `uses`; `uses` if no loss is known.
    """
    if np.isnan(losses).all():
        return uses
    result = uses.copy()
    groups = [np.ones_like(empty)] if config.background is None else [empty, ~empty]
    for group in groups:
        rows = np.flatnonzero(group)
        order = rows[np.argsort(-np.nan_to_num(losses[rows], nan=np.inf), kind="stable")]
        result[order] *= config.pressure ** -np.linspace(0, 1, len(order))
        if result[rows].sum():
            result[rows] *= uses[rows].sum() / result[rows].sum()
    return result


def draw_images(uses: NDArray[np.float64], shuffled: NDArray[np.int64], offset: float) -> NDArray[np.int64]:
    """Images of an epoch, each about as often as expected: systematic sampling along a random order.

    Args:
        uses: (I,) expected number of times; the sum is a whole number N.
        shuffled: (I,) the images in a random order.
        offset: uniform in [0, 1).

    Returns:
        (N,) images, repeated ones next to each other. An image occurs ``floor(uses)`` or ``ceil(uses)`` times, and on
        average over `offset` exactly `uses` times.
    """
    ends = np.cumsum(uses[shuffled])
    ends[-1:] = np.round(ends[-1:])  # the sum is whole, up to rounding
    places = np.floor(ends + offset).astype(np.int64)
    return np.repeat(shuffled, np.diff(places, prepend=0))
