"""The path aggregation network (PAN): a feature pyramid followed by a path from fine to coarse levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from detectors.necks.fpn import FPN, Coarser

Pyramid = Literal["fpn", "pan"]


class PAN(nn.Module):
    """Liu et al. 2018 (PANet), section 3.1, without BatchNorm: N_{i+1} = conv(P_{i+1} + stride-2 conv(N_i)).

    Args:
        channels_in: of the backbone's features.
        strides_in: of the backbone's features.
        channels: of every output level.
        levels: number of output levels; see `FPN`.
        coarser: see `FPN`.
    """

    def __init__(
        self,
        channels_in: Sequence[int],
        strides_in: Sequence[int],
        channels: int = 256,
        levels: int = 5,
        coarser: Coarser = "pyramid",
    ) -> None:
        super().__init__()
        self.pyramid = FPN(channels_in, strides_in, channels, levels, coarser)
        self.channels = self.pyramid.channels
        self.strides = self.pyramid.strides
        self.down = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(levels - 1)
        )
        self.merge = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(levels - 1))
        for layer in (*self.down, *self.merge):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_uniform_(layer.weight, a=1)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, channels, ...) at `strides`, finest first."""
        pyramid = self.pyramid(features)
        levels = [pyramid[0]]
        for coarse, down, merge in zip(pyramid[1:], self.down, self.merge, strict=True):
            levels.append(torch.relu(merge(coarse + torch.relu(down(levels[-1])))))
        return levels


def pyramid(
    kind: Pyramid,
    channels_in: Sequence[int],
    strides_in: Sequence[int],
    channels: int,
    levels: int,
    coarser: Coarser = "pyramid",
) -> FPN | PAN:
    """The neck of that name: ``fpn`` or ``pan``."""
    make = PAN if kind == "pan" else FPN
    return make(channels_in, strides_in, channels, levels, coarser)
