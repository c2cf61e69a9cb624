"""The feature pyramid network (FPN), with additional coarser levels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork

Coarser = Literal["pyramid", "backbone", "pool"]


class FPN(nn.Module):
    """Lin et al. 2017 (FPN), section 3, and levels coarser than the backbone's, such as RetinaNet's P6 and P7.

    Args:
        channels_in: of the backbone's features.
        strides_in: of the backbone's features.
        channels: of every output level.
        levels: number of output levels: the finest of the backbone, and coarser ones if these are too few.
        coarser: input of the strided convolutions that make coarser levels: the coarsest level of the ``pyramid`` (Tian et
            al. 2019, section 3.2) or of the ``backbone`` (Lin et al. 2017, RetinaNet, section 4), then each the previous
            one; ``pool``: every other cell of the previous level instead (FPN, section 4.1).
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
        taken = min(levels, len(channels_in))
        more = levels - taken
        self.channels = (channels,) * levels
        self.strides = (*strides_in[:taken], *(strides_in[taken - 1] * 2 ** (k + 1) for k in range(more)))
        self._taken = taken
        self.pyramid = FeaturePyramidNetwork(list(channels_in[:taken]), channels)
        self._from = coarser
        first = channels_in[taken - 1] if coarser == "backbone" else channels
        self.coarser = nn.ModuleList(
            nn.Conv2d(channels if number else first, channels, 3, stride=2, padding=1)
            for number in range(0 if coarser == "pool" else more)
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
            below = features[self._taken - 1] if self._from == "backbone" else levels[-1]
            levels.append(level(F.relu(levels[-1]) if number else below))
        while len(levels) < len(self.strides):
            levels.append(levels[-1][:, :, ::2, ::2])
        return levels
