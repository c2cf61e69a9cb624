"""The small depthwise-separable network of the mb_tiny SSD family: features at strides 8, 16, 32 and 64."""

from __future__ import annotations

from torch import Tensor, nn


class MbTiny(nn.Module):
    """Thirteen small blocks and one more level, for small images and slow machines.

    Parameters are named as in the public face detectors of this family (``base_net``, ``extras``), so that their
    files load.

    Args:
        base_channel: channels after the first layer; 16 in the face detectors. The last level has 16 times as many.
        separable: a depthwise and a pointwise convolution in each block, as in the face detectors; off: one full
            convolution, which learns more from scratch and takes longer.
    """

    strides = (8, 16, 32, 64)

    def __init__(self, base_channel: int = 16, separable: bool = True) -> None:
        super().__init__()
        b = base_channel
        block = _separable if separable else _full
        self.base_net = nn.Sequential(
            _full(3, b, 2),
            block(b, 2 * b, 1),
            block(2 * b, 2 * b, 2),
            block(2 * b, 2 * b, 1),
            block(2 * b, 4 * b, 2),
            block(4 * b, 4 * b, 1),
            block(4 * b, 4 * b, 1),
            block(4 * b, 4 * b, 1),
            block(4 * b, 8 * b, 2),
            block(8 * b, 8 * b, 1),
            block(8 * b, 8 * b, 1),
            block(8 * b, 16 * b, 2),
            block(16 * b, 16 * b, 1),
        )
        self.extras = nn.ModuleList([
            nn.Sequential(
                nn.Conv2d(16 * b, 4 * b, 1),
                nn.ReLU(),
                nn.Sequential(
                    nn.Conv2d(4 * b, 4 * b, 3, stride=2, padding=1, groups=4 * b),
                    nn.ReLU(),
                    nn.Conv2d(4 * b, 16 * b, 1),
                ),
                nn.ReLU(),
            )
        ])  # fmt: skip

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at each of `strides`; a map's side is the image's over the stride, rounded up."""
        features = []
        x = images
        for number, block in enumerate(self.base_net, start=1):
            x = block(x)
            if number in (8, 11, 13):  # the last block of each stride
                features.append(x)
        return [*features, self.extras[0](x)]


def _full(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _separable(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, stride, padding=1, groups=channels_in, bias=False),
        nn.BatchNorm2d(channels_in),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_in, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
