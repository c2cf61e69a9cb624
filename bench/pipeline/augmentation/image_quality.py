"""Changes of pixels that leave their positions: equalization, loss of colour, blur, noise and compression."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.v2 import functional

from bench.pipeline.augment_settings import AugmentConfig


def degrade(image: Tensor, config: AugmentConfig) -> Tensor:
    """A (3, H, W) uint8 image after the random changes whose probability is positive, in the order of a camera's."""
    if _chosen(config.equalize):
        by_histogram = float(torch.rand(())) < 0.5
        image = functional.equalize_image(image) if by_histogram else _autocontrast(image)
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


def _autocontrast(image: Tensor) -> Tensor:
    """Each channel stretched linearly from its extremes to 0 and 255; in a table, which is faster than torchvision's."""
    values = torch.arange(256, dtype=torch.float32)
    channels = []
    for channel in image:
        low, high = (float(value) for value in channel.aminmax())
        table = ((values - low) * (255 / max(high - low, 1))).round().clamp(0, 255).to(torch.uint8)
        channels.append(table[channel.int()])
    return torch.stack(channels) if image.amax() > image.amin() else image


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur by Pillow, which takes a third of the time of torchvision's."""
    return _tensor(_picture(image).filter(ImageFilter.GaussianBlur(sigma)))


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
