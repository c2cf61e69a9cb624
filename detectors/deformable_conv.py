"""Deformable convolution: a convolution that reads its input at learned places."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConv(nn.Module):
    """A modulated deformable 3 x 3 convolution, Zhu et al. 2019 (Deformable ConvNets v2), eq. 1.

    At each cell, a plain convolution predicts for each of the nine taps an offset in cells and a modulation, by which what is read
    there is multiplied. Both start at values that make it the plain convolution: offsets at 0 and modulations at 1. The paper's
    modulation is a sigmoid, which starts at 0.5; here it is twice that. The output of the plain convolution is scaled by `RATE`, so
    that offsets learn at a hundredth of the rate of other layers. AdamW moves every weight by its rate in each step, whatever the
    gradient: unscaled, an offset moves by about a cell per step, and the detector learns nothing. Zhu et al. 2021 (Deformable DETR,
    section 5) lower the rate of offsets to a tenth.

    Args:
        conv: the plain convolution, 3 x 3 in one group, whose weights, stride, padding and dilation are used.
    """

    _TAPS = 9
    RATE = 0.01

    def __init__(self, conv: nn.Conv2d) -> None:
        assert is_deformable(conv), conv
        super().__init__()
        self.conv = conv
        self.places = nn.Conv2d(
            conv.in_channels,
            3 * self._TAPS,
            3,
            stride=_pair(conv.stride),
            padding=_pair(conv.padding),
            dilation=_pair(conv.dilation),
        )
        nn.init.zeros_(self.places.weight)
        assert self.places.bias is not None
        nn.init.zeros_(self.places.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The maps of `conv`, of the same shape."""
        offsets, modulation = (self.RATE * self.places(x)).split((2 * self._TAPS, self._TAPS), dim=1)
        weights = 2 * modulation.sigmoid()
        out: Tensor = deform_conv2d(
            x.contiguous(),
            offsets.contiguous(),
            self.conv.weight,
            self.conv.bias,
            stride=_pair(self.conv.stride),
            padding=_pair(self.conv.padding),
            dilation=_pair(self.conv.dilation),
            mask=weights.contiguous(),
        )
        return out.contiguous(memory_format=torch.channels_last)


def is_deformable(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that `DeformableConv` can replace: 3 x 3, in one group, padded with zeros."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (3, 3)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _pair(sides: object) -> tuple[int, int]:
    height, width = cast(tuple[int, int], sides)
    return height, width
