"""The small network of the mb_tiny SSD family: features at strides 8, 16, 32 and 64, or starting at 4."""

from __future__ import annotations

from torch import Tensor, nn

from detectors.norm import BatchNorm


class MbTiny(nn.Module):
    """A few small blocks for small images and slow machines.

    Args:
        base_channel: channels after the first layer; 16 in the face detectors. The last level has 16 times as many.
        separable: thirteen depthwise-separable blocks and one more level, as in the public face detectors of this family;
            parameters have the same names (``base_net``, ``extras``), so that their files can be loaded. Otherwise nine
            full convolutions, most of them on small maps: trained from random weights on a CPU, they learn far more in
            the same time.
        finest: stride of the finest features: 4, 8 or 16.
    """

    def __init__(self, base_channel: int = 16, separable: bool = False, finest: int = 8) -> None:
        super().__init__()
        self.strides = tuple(stride for stride in (4, 8, 16, 32, 64) if stride >= finest)
        b = base_channel
        if separable:
            self.base_net = nn.Sequential(
                _full(3, b, 2),
                _separable(b, 2 * b, 1),
                _separable(2 * b, 2 * b, 2),
                _separable(2 * b, 2 * b, 1),
                _separable(2 * b, 4 * b, 2),
                _separable(4 * b, 4 * b, 1),
                _separable(4 * b, 4 * b, 1),
                _separable(4 * b, 4 * b, 1),
                _separable(4 * b, 8 * b, 2),
                _separable(8 * b, 8 * b, 1),
                _separable(8 * b, 8 * b, 1),
                _separable(8 * b, 16 * b, 2),
                _separable(16 * b, 16 * b, 1),
            )
            ends = (4, 8, 11, 13)
        else:
            self.base_net = nn.Sequential(
                _full(3, b, 2),
                _full(b, 2 * b, 2),
                _full(2 * b, 4 * b, 2),
                _full(4 * b, 4 * b, 1),
                _full(4 * b, 4 * b, 1),
                _full(4 * b, 8 * b, 2),
                _full(8 * b, 8 * b, 1),
                _full(8 * b, 16 * b, 2),
            )
            ends = (2, 5, 7, 8)
        self._ends = ends[-len(self.strides[:-1]) :]
        self.extras = nn.ModuleList([_extra(b) if separable else _full(16 * b, 16 * b, 2)])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at each of `strides`; the side of a map is that of the image divided by the stride, rounded up."""
        features = []
        x = images
        for number, block in enumerate(self.base_net, start=1):
            x = block(x)
            if number in self._ends:
                features.append(x)
        return [*features, self.extras[0](x)]


def _full(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        BatchNorm(channels_out),
        nn.ReLU(inplace=True),
    )


def _separable(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, stride, padding=1, groups=channels_in, bias=False),
        BatchNorm(channels_in),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_in, channels_out, 1, bias=False),
        BatchNorm(channels_out),
        nn.ReLU(inplace=True),
    )


def _extra(b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(16 * b, 4 * b, 1),
        nn.ReLU(),
        nn.Sequential(
            nn.Conv2d(4 * b, 4 * b, 3, stride=2, padding=1, groups=4 * b),
            nn.ReLU(),
            nn.Conv2d(4 * b, 16 * b, 1),
        ),
        nn.ReLU(),
    )
