"""Convolutions that compute with the rounding of 8-bit integers, for training that takes it into account.

Jacob et al. 2018, arXiv:1712.05877, section 3: values are rounded to the grid of the integers in the forward pass, and gradients
pass as if they were not (straight-through), except where a value is outside of the range. The grids are those of
`detectors.compression.quantization`: inputs are uint8 with one scale per tensor, weights int8 with one scale per output channel. A
batch normalisation after the convolution, which an exporter folds into the weights, scales whole channels and so changes no grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MOMENTUM = 0.01
"""Weight of a batch in the running average of the smallest and the largest input."""


class InputRange(NamedTuple):
    """Range of the inputs of a convolution in training.

    Attributes:
        weight: of the convolution, by which it is found in an exported graph.
        low, high: smallest and largest input; both are 0 if none was seen.
    """

    weight: NDArray[np.float32]
    low: float
    high: float

    def belongs_to(self, weight: NDArray[np.float32]) -> bool:
        """Whether a convolution of a graph has these weights, up to a factor of each output channel (batch normalisation)."""
        if weight.shape != self.weight.shape:
            return False
        one, other = (_directions(each) for each in (weight, self.weight))
        return bool((np.abs((one * other).sum(axis=1)) > 0.999).mean() >= 0.5)


def _directions(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(output channels, inputs) rows of length 1, or of zeros."""
    rows = weight.reshape(len(weight), -1)
    directions: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return directions


class FakeQuantizedConv2d(nn.Conv2d):
    """A convolution whose inputs and weights are rounded to 8-bit integers; parameters have the names of `torch.nn.Conv2d`.

    The range of the inputs is the running average of the smallest and the largest input of each batch in training. Before the
    first batch inputs are not rounded.
    """

    input_low: Tensor
    input_high: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d) -> FakeQuantizedConv2d:
        """Such a convolution with the parameters of another one."""
        made = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation,  # type: ignore[arg-type]
            conv.groups, conv.bias is not None, conv.padding_mode,
        )  # fmt: skip
        made.weight, made.bias = conv.weight, conv.bias
        for name in ("input_low", "input_high"):
            made.register_buffer(name, torch.zeros((), device=conv.weight.device))
        return made.train(conv.training)

    def plain(self) -> nn.Conv2d:
        """The convolution with these parameters, without rounding."""
        made = nn.Conv2d(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation,  # type: ignore[arg-type]
            self.groups, self.bias is not None, self.padding_mode,
        )  # fmt: skip
        made.weight, made.bias = self.weight, self.bias
        return made.train(self.training)

    def forward(self, input: Tensor) -> Tensor:
        """See `torch.nn.Conv2d`."""
        if self.training:
            self._observe(input.detach())
        output: Tensor = self._conv_forward(self._rounded(input), self._rounded_weight(), self.bias)
        return output

    def _observe(self, values: Tensor) -> None:
        low, high = (each.float() for each in values.aminmax())
        unseen = self.input_high == self.input_low
        momentum = torch.where(unseen, 1.0, MOMENTUM)
        self.input_low.lerp_(low.clamp(max=0), momentum)
        self.input_high.lerp_(high.clamp(min=0), momentum)

    def _rounded(self, values: Tensor) -> Tensor:
        scale = (self.input_high - self.input_low) / 255
        if not scale > 0:
            return values
        zero = torch.round(-self.input_low / scale).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, 255)

    def _rounded_weight(self) -> Tensor:
        weight = self.weight
        largest = weight.detach().abs().flatten(1).amax(dim=1)
        scale = largest.clamp(min=torch.finfo(torch.float32).tiny * 127) / 127
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def fake_quantize(network: nn.Module) -> int:
    """Replace the plain convolutions of a network by ones that round; returns their number."""
    return _replace(
        network, lambda layer: FakeQuantizedConv2d.of(layer) if type(layer) is nn.Conv2d else None
    )


def without_fake_quantization(network: nn.Module) -> nn.Module:
    """Replace the convolutions that round by plain ones with the same parameters; returns the network, which is changed."""
    _replace(network, lambda layer: layer.plain() if isinstance(layer, FakeQuantizedConv2d) else None)
    return network


def _replace(network: nn.Module, make: Callable[[nn.Module], nn.Module | None]) -> int:
    count = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            made = make(child)
            if made is not None:
                setattr(parent, name, made)
                count += 1
    return count


def input_ranges(network: nn.Module) -> list[InputRange]:
    """Range of each convolution that rounds and whose inputs were seen in training."""
    return [
        InputRange(layer.weight.detach().cpu().numpy(), layer.input_low.item(), layer.input_high.item())
        for layer in network.modules()
        if isinstance(layer, FakeQuantizedConv2d) and layer.input_high > layer.input_low
    ]
