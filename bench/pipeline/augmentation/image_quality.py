"""Changes of pixels that leave their positions: equalization, loss of colour, blur, noise and compression."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from bench.pipeline.augment_settings import AugmentConfig


def degrade(image: Tensor, config: AugmentConfig) -> Tensor:
    """A (3, H, W) uint8 image after the random changes whose probability is positive, in the order of a camera's."""
    if _chosen(config.equalize):
        spread = ImageOps.equalize if float(torch.rand(())) < 0.5 else ImageOps.autocontrast
        image = _tensor(spread(_picture(image)))
    if _chosen(config.gray):
        image = functional.rgb_to_grayscale_image(image, 3)
    if _chosen(config.blur):
        image = _blur(image, config.blur_sigma * float(torch.rand(())))
    if _chosen(config.noise):
        image = _noise(image, config.noise_sigma * float(torch.rand(())))
    if _chosen(config.jpeg):
        image = _compress(image, int(torch.randint(config.jpeg_quality, 101, ())))
    return image


def _chosen(probability: float) -> bool:
    """Whether a change happens; nothing is drawn for a probability of 0."""
    return probability > 0 and float(torch.rand(())) < probability


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, with the values at the edges repeated; rounded once.

    Sums of shifted images take a fifth of the time of torchvision's convolution.
    """
    reach = math.ceil(3 * sigma)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)] if reach else [1.0]
    total = weights[0] + 2 * sum(weights[1:])
    blurred = image.to(torch.float32, memory_format=torch.contiguous_format)
    for dimension in (1, 2):
        ends = (0, 0, reach, reach) if dimension == 1 else (reach, reach, 0, 0)
        padded = functional.pad_image(blurred, [ends[0], ends[2], ends[1], ends[3]], padding_mode="edge")
        side = image.shape[dimension]
        blurred = padded.narrow(dimension, reach, side) * (weights[0] / total)
        for step in range(1, reach + 1):
            for start in (reach - step, reach + step):
                blurred.add_(padded.narrow(dimension, start, side), alpha=weights[step] / total)
    return blurred.round_().clamp_(0, 255).to(torch.uint8)


def _noise(image: Tensor, sigma: float) -> Tensor:
    """Independent normal noise of each value, rounded to whole grey values."""
    noise = torch.empty(image.shape).normal_(0, max(sigma, 1e-6)).round_()
    return noise.add_(image).clamp_(0, 255).to(torch.uint8)


def _compress(image: Tensor, quality: int) -> Tensor:
    """The image as it is read from a JPEG file; by Pillow, because torchvision's is deprecated."""
    file = BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    return _tensor(Image.open(file))


def _picture(image: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
