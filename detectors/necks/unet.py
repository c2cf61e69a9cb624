"""The expanding path of U-Net: transposed convolutions, each followed by a skip connection and convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectors.norm import BatchNorm


class ImageSkips(nn.Module):
    """Features of the image at strides finer than those of a backbone, for skip connections.

    The backbones have features at strides from 4 on; U-Net's first skip connections are at strides 1 and 2.

    Args:
        strides: of the features, finest first, each twice the one before; may be empty.
        channels: at each stride.
    """

    def __init__(self, strides: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.channels = tuple(channels)
        ins = (3, *channels)
        steps = (*strides[:1], *(2 for _ in strides[1:]))
        self.blocks = nn.ModuleList(
            _block(ins[k], out, stride) for k, (out, stride) in enumerate(zip(channels, steps, strict=True))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of (B, 3, H, W) images; the side of a map is that of the image divided by the stride, rounded up."""
        features, x = [], images
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features


class UNetDecoder(nn.Module):
    """Ronneberger et al. 2015, section 2 and figure 1: the expanding path.

    Each step doubles the map by a 2 x 2 transposed convolution, appends the features of the contracting path at that stride,
    and applies 3 x 3 convolutions with ReLU. Unlike in the paper, convolutions are padded and followed by batch
    normalisation. The strides of neighbouring levels differ by a factor of 2.

    Args:
        channels_in: of the contracting path's features, finest first.
        channels: of the output at each stride except the coarsest.
        convs: 3 x 3 convolutions of each step; 2 in the paper.
    """

    def __init__(self, channels_in: Sequence[int], channels: Sequence[int], convs: int = 2) -> None:
        super().__init__()
        self.channels = tuple(channels)
        coarser = (*channels[1:], channels_in[-1])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(ins, out, 2, stride=2) for ins, out in zip(coarser, channels, strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_block(skip + out if k == 0 else out, out) for k in range(convs)))
            for skip, out in zip(channels_in[:-1], channels, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The map (B, channels[0], ...) at the finest stride, from as many features as `channels_in`; others are not used.

        Maps may have odd sides: the side of a coarser map is that of the finer one divided by 2, rounded up, so the excess
        row or column is cut.
        """
        taken = len(self.ups)
        x = features[taken]
        for skip, up, block in reversed(list(zip(features[:taken], self.ups, self.blocks, strict=True))):
            height, width = skip.shape[2:]
            x = block(torch.cat([skip, up(x)[:, :, :height, :width]], dim=1))
        return x


def _block(ins: int, outs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # section 3: standard deviation sqrt(2 / N)
    return nn.Sequential(conv, BatchNorm(outs), nn.ReLU(inplace=True))
