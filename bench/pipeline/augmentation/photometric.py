"""Random brightness, contrast, saturation and hue of 8-bit images.

The formulas, their random order and the numbers drawn are those of `torchvision.transforms.v2.ColorJitter`. The arithmetic is
compiled, and gives the same result on every machine. Each change differs from torchvision's by at most one grey level, because
sums are rounded in another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.kernels.compile_cache import kernel

Pixels = NDArray[np.uint8]
"""(3, N) red, green and blue of N pixels."""


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Random changes of colour.

    Attributes:
        probability: of a change.
        strength: largest relative change of brightness, contrast and saturation, 0 .. 1.
        hue: largest change of hue, as a fraction of the colour circle, 0 .. 0.5.
    """

    probability: float
    strength: float
    hue: float

    def __post_init__(self) -> None:
        # Worker processes inherit the compiled code.
        for adjust, neutral in _ADJUSTMENTS:
            adjust(np.zeros((3, 1), np.uint8), neutral)

    def __call__(self, image: Tensor) -> Tensor:
        """The image, (3, H, W) uint8, or a changed copy. All random numbers are torch's."""
        if float(torch.rand(())) >= self.probability:
            return image
        order = torch.randperm(4).tolist()
        strengths = [1 + _between(self.strength) if self.strength else 1.0 for _ in range(3)]
        factors = [*strengths, _between(self.hue) if self.hue else 0.0]
        changed = image.clone(memory_format=torch.contiguous_format)
        pixels = changed.numpy().reshape(3, -1)
        for number in order:
            adjust, neutral = _ADJUSTMENTS[number]
            if factors[number] != neutral:
                adjust(pixels, factors[number])
        return changed


def _between(largest: float) -> float:
    """A number between -largest and largest."""
    return float(torch.empty(()).uniform_(-largest, largest))


def adjust_brightness(pixels: Pixels, factor: float) -> None:
    """Multiply all channels by a factor of at least 0, in place."""
    _blend_with_value(pixels, factor, 0.0)


def adjust_contrast(pixels: Pixels, factor: float) -> None:
    """Multiply the distance of all channels from the mean grey value of the image by a factor of at least 0, in place."""
    _blend_with_value(pixels, factor, _sum_of_grey(pixels) / max(pixels.shape[1], 1))


def adjust_saturation(pixels: Pixels, factor: float) -> None:
    """Multiply the distance of all channels from the grey value of the pixel by a factor of at least 0, in place."""
    _blend_with_grey(pixels, factor)


def adjust_hue(pixels: Pixels, turn: float) -> None:
    """Turn the hue of all pixels by a fraction of the colour circle, -0.5 .. 0.5, in place."""
    _turn_hue(pixels, turn)


_ADJUSTMENTS = ((adjust_brightness, 1.0), (adjust_contrast, 1.0), (adjust_saturation, 1.0), (adjust_hue, 0.0))
"""In the order in which `ColorJitter` numbers them, each with the factor that changes nothing."""


# Any, because mypy does not accept what arithmetic with NumPy's scalars returns as a number.
single: Any = np.float32
whole: Any = np.int32
byte: Any = np.uint8


@kernel
def _blend_with_value(pixels: Pixels, factor: float, value: float) -> int:
    """Pixels times `factor`, plus `value` times the rest."""
    ratio, added = single(factor), single(value * (1.0 - factor))
    for channel in range(3):
        for k in range(pixels.shape[1]):
            blended = single(pixels[channel, k]) * ratio + added
            pixels[channel, k] = byte(min(max(blended, single(0.0)), single(255.0)))
    return 0


@kernel
def _sum_of_grey(pixels: Pixels) -> int:
    """Sum of the grey values of all pixels."""
    total = 0
    for k in range(pixels.shape[1]):
        red, green, blue = single(pixels[0, k]), single(pixels[1, k]), single(pixels[2, k])
        total += whole(red * single(0.2989) + green * single(0.587) + blue * single(0.114))
    return total


@kernel
def _blend_with_grey(pixels: Pixels, factor: float) -> int:
    """Pixels times `factor`, plus their grey value times the rest."""
    ratio, rest = single(factor), single(1.0 - factor)
    low, high = single(0.0), single(255.0)
    for k in range(pixels.shape[1]):
        red, green, blue = single(pixels[0, k]), single(pixels[1, k]), single(pixels[2, k])
        grey = red * single(0.2989) + green * single(0.587) + blue * single(0.114)
        added = single(whole(grey)) * rest
        pixels[0, k] = byte(min(max(red * ratio + added, low), high))
        pixels[1, k] = byte(min(max(green * ratio + added, low), high))
        pixels[2, k] = byte(min(max(blue * ratio + added, low), high))
    return 0


@kernel
def _turn_hue(pixels: Pixels, turn: float) -> int:
    """Turn the hue; value and saturation of the HSV model stay.

    With the hue h in sixths of the circle, the largest channel v and the range c of the channels, each channel is
    v - c * max(0, min(k, 4 - k, 1)) with k = (n + h) mod 6 and n = 5, 3, 1 for red, green and blue.
    """
    for k in range(pixels.shape[1]):
        red, green, blue = single(pixels[0, k]), single(pixels[1, k]), single(pixels[2, k])
        largest = max(red, max(green, blue))
        spread = largest - min(red, min(green, blue))
        inverse = single(1.0) / max(spread, single(1.0))
        hue = single(4.0) + (red - green) * inverse
        hue = single(2.0) + (blue - red) * inverse if largest == green else hue
        hue = (green - blue) * inverse if largest == red else hue
        hue += single(turn * 6.0)
        pixels[0, k] = byte(_channel(hue + single(5.0), largest, spread))
        pixels[1, k] = byte(_channel(hue + single(3.0), largest, spread))
        pixels[2, k] = byte(_channel(hue + single(1.0), largest, spread))
    return 0


@kernel
def _channel(place: float, largest: float, spread: float) -> float:
    """A channel at a place on the circle of hues, in sixths of it."""
    place -= single(6.0) * np.floor(place * single(1.0 / 6.0))
    part = max(single(0.0), min(place, single(4.0) - place, single(1.0)))
    # A channel x of 0 .. 1 becomes the whole number below 255.999 x, as in torchvision's `to_dtype`.
    level: float = min((largest - spread * part) * single(255.999 / 255.0), single(255.0))
    return level
