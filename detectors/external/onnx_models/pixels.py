"""Normalisation of images for files of other programs."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.backbones.normalisation import NORMALISATIONS, Normalisation
from detectors.external.onnx_models.settings import Pixels

_BYTES = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def prepared(images: Tensor, pixels: Pixels) -> Tensor:
    """(B, 3, H, W) input of a network, of RGB images in [0, 1]."""
    mean, deviation, bgr = _normalisation(pixels)
    ordered = images.flip(1) if bgr else images
    if pixels == "unit":
        return ordered
    low, scale = (torch.tensor(each).view(3, 1, 1) for each in (mean, deviation))
    return (ordered * 255 - low) / scale


def _normalisation(pixels: Pixels) -> Normalisation:
    if pixels == "byte":
        return _BYTES
    if pixels == "bgr-byte":
        return _BYTES._replace(bgr=True)
    if pixels == "imagenet-bgr":
        mean, deviation, _ = NORMALISATIONS["imagenet"]
        return Normalisation(mean[::-1], deviation[::-1], bgr=True)
    return NORMALISATIONS[pixels]
