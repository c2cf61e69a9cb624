"""Deformable convolution: a convolution that reads its input at learned places."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConv(nn.Module):
    """A modulated deformable 3 x 3 convolution, Zhu et al. 2019 (Deformable ConvNets v2), eq. 1.

    At each cell, a plain convolution predicts for each of the nine taps an offset in cells and a modulation, by which what is read
    there is multiplied. Both start at values that make it the plain convolution: offsets at 0 and modulations at 1. The paper's
    modulation is a sigmoid, which starts at 0.5; here it is twice that.

    Args:
        channels_in: of the input.
        channels_out: of the output.
    """

    _TAPS = 9

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.places = nn.Conv2d(channels_in, 3 * self._TAPS, 3, padding=1)
        nn.init.zeros_(self.places.weight)
        assert self.places.bias is not None
        nn.init.zeros_(self.places.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_out, H, W) from (B, channels_in, H, W)."""
        offsets, modulation = self.places(x).split((2 * self._TAPS, self._TAPS), dim=1)
        weights = 2 * modulation.sigmoid()
        out: Tensor = deform_conv2d(
            x.contiguous(),
            offsets.contiguous(),
            self.conv.weight,
            self.conv.bias,
            padding=1,
            mask=weights.contiguous(),
        )
        return out.contiguous(memory_format=torch.channels_last)
