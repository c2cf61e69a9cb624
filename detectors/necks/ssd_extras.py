"""SSD's neck: the features of the backbone, and coarser levels by extra blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn

from detectors.norm import BatchNorm
from metrics.plurals import plural

Block = Literal["batch", "plain", "separable"]


class SSDExtras(nn.Module):
    """Liu et al. 2016, section 2.1: convolutional feature layers of decreasing size after the backbone.

    Args:
        channels_in: of the backbone's features.
        strides_in: of the backbone's features.
        levels: number of output levels: those of the backbone, then extra blocks.
        channels: of the extra levels, one number for all or one per level.
        middle: channels before the 3 x 3 convolution of each block, one number for all or one per level; empty: half of
            `channels`.
        block: ``plain`` convolutions with ReLU, as in the paper; with ``batch`` normalisation; ``separable`` with
            ReLU6, as in SSDLite (Sandler et al. 2018, section 6.2).
        unpadded: number of last blocks, all ``plain``, with an unpadded convolution instead of stride 2, as in SSD300 from
            5 to 3 and from 3 to 1 cells.
    """

    def __init__(
        self,
        channels_in: Sequence[int],
        strides_in: Sequence[int],
        levels: int = 4,
        channels: Sequence[int] = (256,),
        middle: Sequence[int] = (),
        block: Block = "batch",
        unpadded: int = 0,
    ) -> None:
        super().__init__()
        taken = min(levels, len(channels_in))
        more = levels - taken
        outs = _for_each("channels", channels, more)
        middles = _for_each("middle", middle, more) if middle else [out // 2 for out in outs]
        self.channels = (*channels_in[:taken], *outs)
        self.strides = (*strides_in[:taken], *(strides_in[taken - 1] * 2 ** (k + 1) for k in range(more)))
        self._taken = taken
        make = {"batch": _batch, "plain": _plain, "separable": _separable}[block]
        ins = self.channels[taken - 1 :]
        self.extras = nn.ModuleList(
            (partial(_plain, padded=False) if k >= more - unpadded else make)(ins[k], middles[k], outs[k])
            for k in range(more)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels at `strides`, finest first, each with its own `channels`."""
        levels = list(features[: self._taken])
        for block in self.extras:
            levels.append(block(levels[-1]))
        return levels


def _for_each(name: str, given: Sequence[int], levels: int) -> list[int]:
    if len(given) not in {1, levels} and levels:
        raise ValueError(
            f"{name}: {len(given)} given for {plural(levels, 'extra level')}; give one, or one per level"
        )
    return list(given) * levels if len(given) == 1 else list(given)[:levels]


def _plain(ins: int, middle: int, outs: int, padded: bool = True) -> nn.Sequential:
    last = nn.Conv2d(middle, outs, 3, stride=2, padding=1) if padded else nn.Conv2d(middle, outs, 3)
    layers = nn.Sequential(nn.Conv2d(ins, middle, 1), nn.ReLU(inplace=True), last, nn.ReLU(inplace=True))
    for layer in (layers[0], layers[2]):
        assert isinstance(layer, nn.Conv2d)
        nn.init.xavier_uniform_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return layers


def _batch(ins: int, middle: int, outs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(ins, middle, 1, bias=False),
        BatchNorm(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, outs, 3, stride=2, padding=1, bias=False),
        BatchNorm(outs),
        nn.ReLU(inplace=True),
    )


def _separable(ins: int, middle: int, outs: int) -> nn.Sequential:
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    return nn.Sequential(
        nn.Conv2d(ins, middle, 1, bias=False),
        norm(middle),
        nn.ReLU6(inplace=True),
        nn.Conv2d(middle, middle, 3, stride=2, padding=1, groups=middle, bias=False),
        norm(middle),
        nn.ReLU6(inplace=True),
        nn.Conv2d(middle, outs, 1, bias=False),
        norm(outs),
        nn.ReLU6(inplace=True),
    )
