"""MixUp: two images blended, with the objects of both (Zhang et al. 2018, arXiv:1710.09412; for detection 2019, arXiv:1902.04103)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.pipeline.augmentation.labelled_image import LabelledImage
from metrics.pixel_labels import IGNORED


def blend(first: LabelledImage, second: LabelledImage, weight: float) -> LabelledImage:
    """The weighted mean of two images of one size, with the objects of both.

    A pixel of a label map that is background in one image has the value of the other; where both have different
    values, it is ignored.

    Args:
        first: an image.
        second: another of the same size.
        weight: of the first, 0 .. 1, rounded to a multiple of 1/256.
    """
    share = round(256 * weight)
    mixed = first.image.to(torch.int32).mul_(share).add_(second.image.to(torch.int32).mul_(256 - share))
    return LabelledImage(
        mixed.add_(128).bitwise_right_shift_(8).to(torch.uint8),
        torch.cat([first.boxes, second.boxes]),
        torch.cat([first.labels, second.labels]),
        _blend_maps(first.label_map, second.label_map),
    )


def draw_weight(alpha: float) -> float:
    """A weight from the distribution Beta(alpha, alpha), by torch's global generator."""
    return float(torch.distributions.Beta(alpha, alpha).sample())


def _blend_maps(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return None
    mixed = torch.where(first == second, first, IGNORED)
    mixed = torch.where(first == 0, second, mixed)
    return torch.where(second == 0, first, mixed)
