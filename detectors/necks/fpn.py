"""The feature pyramid: coarse features with meaning flow down to fine ones, and coarser levels are added on top."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork


class FPN(nn.Module):
    """Lin et al. 2017 (FPN), section 3, and the coarser levels of RetinaNet (P6, P7).

    Args:
        channels_in: of the backbone's features.
        strides_in: of the backbone's features.
        channels: of every level that comes out.
        levels: how many come out: the backbone's, and for the rest, strided convolutions on the coarsest.
    """

    def __init__(
        self, channels_in: Sequence[int], strides_in: Sequence[int], channels: int = 256, levels: int = 5
    ) -> None:
        super().__init__()
        taken = min(levels, len(channels_in))
        more = levels - taken
        self.channels = (channels,) * levels
        self.strides = (*strides_in[:taken], *(strides_in[taken - 1] * 2 ** (k + 1) for k in range(more)))
        self._taken = taken
        self.pyramid = FeaturePyramidNetwork(list(channels_in[:taken]), channels)
        self.coarser = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(more)
        )
        for level in self.coarser:
            assert isinstance(level, nn.Conv2d)
            nn.init.kaiming_uniform_(level.weight, a=1)
            assert level.bias is not None
            nn.init.zeros_(level.bias)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, channels, ...) at `strides`, finest first."""
        named = OrderedDict((str(k), feature) for k, feature in enumerate(features[: self._taken]))
        levels: list[Tensor] = list(self.pyramid(named).values())
        for number, level in enumerate(self.coarser):
            levels.append(level(levels[-1] if number == 0 else F.relu(levels[-1])))
        return levels
