"""SSD's neck: the backbone's own features, and coarser levels made one from the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SSDExtras(nn.Module):
    """Liu et al. 2016, section 2.1: convolutional feature layers of falling size at the end of the backbone.

    Args:
        channels_in: of the backbone's features.
        strides_in: of the backbone's features.
        levels: how many come out: the backbone's, and for the rest extra blocks on the coarsest.
        channels: of the extra levels; each block narrows to half of that before its strided convolution.
    """

    def __init__(
        self, channels_in: Sequence[int], strides_in: Sequence[int], levels: int = 4, channels: int = 256
    ) -> None:
        super().__init__()
        taken = min(levels, len(channels_in))
        more = levels - taken
        self.channels = (*channels_in[:taken], *[channels] * more)
        self.strides = (*strides_in[:taken], *(strides_in[taken - 1] * 2 ** (k + 1) for k in range(more)))
        self._taken = taken
        self.extras = nn.ModuleList(_block(self.channels[taken - 1 + k], channels) for k in range(more))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels at `strides`, finest first, each with its own `channels`."""
        levels = list(features[: self._taken])
        for block in self.extras:
            levels.append(block(levels[-1]))
        return levels


def _block(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels // 2, 1, bias=False),
        nn.BatchNorm2d(channels // 2),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
