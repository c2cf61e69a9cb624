"""The size at which training images are decoded (`train.decoding`)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.data.reduced_split import FACTORS, can_be_reduced, reduce_images
from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.input_sizes import sizes_around
from bench.settings.config import RunConfig
from metrics.notes import Note

_SLACK = 1e-9
"""For ratios of sides that are exact but for rounding."""


def decode_for_training(split: Split, config: RunConfig) -> tuple[Split, Note | None]:
    """Training images as `train.decoding` wants them decoded.

    Args:
        split: training images; before they are kept in a cache.
        config: settings of the run.

    Returns:
        The split, and with `reduced` a note on how many of its images are reduced.
    """
    if config.train.decoding == "full":
        return split, None
    if not can_be_reduced(split):
        text = (
            f"{split.name}: train.decoding=reduced has no effect, because the images are drawn or changed when they are loaded, not "
            "decoded from files"
        )
        return split, Note("reduced_images", text, split.name, {"images": 0, "of": len(split)})
    factors = reduction_factors(
        split.truth.catalog.sizes, config.image, config.augment, config.train.multi_scale
    )
    counts = {factor: int((factors == factor).sum()) for factor in (*FACTORS[::-1], 1)}
    parts = [
        f"{count} of {len(split)} at 1/{factor}" for factor, count in counts.items() if factor > 1 and count
    ]
    if parts:
        text = f"{split.name}: images that are decoded at a fraction of their sides (train.decoding=reduced): {', '.join(parts)}"
    else:
        text = (
            f"{split.name}: train.decoding=reduced has no effect, because with these settings of augment an image must be at least "
            f"{2 * enlargement(config.augment):.3g} times as large as the network's input, and none is"
        )
    note = Note("reduced_images", text, split.name, {"images": len(split) - counts[1], "of": len(split)})
    return reduce_images(split, factors), note


def reduction_factors(
    sizes: NDArray[np.int32], image: ImageConfig, augment: AugmentConfig | None, multi_scale: float = 0.0
) -> NDArray[np.int32]:
    """The largest factor by which each image can be reduced and is still enlarged nowhere in the network's input.

    Args:
        sizes: (I, 2) (height, width) of the images; 0 where unknown.
        image: settings of the network's input.
        augment: random changes; None for none.
        multi_scale: see `bench.pipeline.loader.make_loader`.

    Returns:
        (I,) of `FACTORS`, or 1.
    """
    size = sizes_around(image.size, multi_scale)[-1] if multi_scale else image.size
    ratios = sizes / np.array(size)
    # Letterboxing scales both sides by the factor of the longer one.
    ratio = ratios.max(1) if image.resize == "letterbox" else ratios.min(1)
    spare = ratio / (enlargement(augment) if augment else 1.0) * (1 + _SLACK)
    spare = np.minimum(spare, sizes.min(1))
    factors = np.ones(len(sizes), np.int32)
    for factor in sorted(FACTORS):
        factors[spare >= factor] = factor
    return factors


def enlargement(augment: AugmentConfig) -> float:
    """Bound of how many times larger than without changes a part of an image can become, at least 1.

    A crop is enlarged to the network's input. Of the parts of a warp, the scale multiplies all lengths, a shear by t changes them by
    a factor of at most 1 + t, and a perspective divides by a depth of at least 1 - `perspective` within the input, squared across
    the lines of equal depth. Zooming out only makes images smaller, and so do mosaics, which are not cropped.
    """
    only_mosaics = augment.mosaic == 1 and augment.close_mosaic == 0
    crop = 1 / augment.crop_from if augment.iou_crop and not only_mosaics else 1.0
    if not augment.warp:
        return crop
    sheared = 1 + math.tan(math.radians(augment.shear))
    return crop * (1 + augment.rescale) * sheared / (1 - augment.perspective) ** 2
