"""The decoder of set prediction: layers of attention that refine a class and a box for each query."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detectors.heads.deformable_attention import DeformableAttention, Memory, memory_of


class DecoderOutput(NamedTuple):
    """Predictions of L layers for Q queries of B images.

    Attributes:
        logits: (B, L, Q, classes).
        boxes: (B, L, Q, 4) cxcywh, as fractions of the image's sides, each in (0, 1).
    """

    logits: Tensor
    boxes: Tensor


class DecoderConfig(NamedTuple):
    """Sizes of a decoder.

    Attributes:
        channels: of queries and features.
        layers: L.
        heads: of each attention.
        points: per head and level of the deformable attention.
        hidden: channels of the feed-forward networks.
    """

    channels: int = 64
    layers: int = 3
    heads: int = 4
    points: int = 4
    hidden: int = 256


class Decoder(nn.Module):
    """Decoder of Deformable DETR with iterative refinement of boxes (Zhu et al. 2021, section 4.2 and appendix A.4).

    In each layer queries attend to each other, then to the features around their boxes. A layer predicts the difference
    of a box from that of the previous layer, which it is not allowed to change by its gradient. The position of a query
    is encoded by a network from its box (Zhao et al. 2024, RT-DETR).

    Args:
        config: sizes.
        strides: of the levels.
        classes: class channels.
        class_bias: initial bias of the class branches.
    """

    def __init__(
        self, config: DecoderConfig, strides: Sequence[int], classes: int, class_bias: float
    ) -> None:
        super().__init__()
        self.channels = config.channels
        self.strides = tuple(strides)
        self.position = _mlp(4, 2 * config.channels, config.channels, layers=2)
        layers = range(config.layers)
        self.layers = nn.ModuleList(DecoderLayer(config, len(self.strides)) for _ in layers)
        self.class_outs = nn.ModuleList(nn.Linear(config.channels, classes) for _ in layers)
        self.box_outs = nn.ModuleList(_mlp(config.channels, config.channels, 4, layers=3) for _ in layers)
        for out in self.class_outs:
            assert isinstance(out, nn.Linear)
            nn.init.normal_(out.weight, std=0.01)
            nn.init.constant_(out.bias, class_bias)
        for out in self.box_outs:  # the first prediction is the reference itself
            assert isinstance(out, nn.Sequential)
            last = out[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self,
        queries: Tensor,
        references: Tensor,
        features: Sequence[Tensor],
        image_size: tuple[int, int],
        mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Predictions of every layer.

        Args:
            queries: (B, Q, channels).
            references: (B, Q, 4) cxcywh, as fractions of the image's sides.
            features: of each level, (B, channels, rows, columns).
            image_size: (height, width) of the network's input.
            mask: (B, Q, Q), True where a query (row) must not attend to another (column).
        """
        memory = memory_of(features, self.strides, image_size)
        logits, boxes = [], []
        for layer, class_out, box_out in zip(self.layers, self.class_outs, self.box_outs, strict=True):
            queries = layer(queries, self.position(references), references, memory, mask)
            logits.append(class_out(queries))
            boxes.append((logit(references) + box_out(queries)).sigmoid())
            references = boxes[-1].detach()
        return DecoderOutput(torch.stack(logits, dim=1), torch.stack(boxes, dim=1))


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention and a feed-forward network, each added to its input and normalised.

    Args:
        config: sizes.
        levels: number of levels.
    """

    def __init__(self, config: DecoderConfig, levels: int) -> None:
        super().__init__()
        channels = config.channels
        self.heads = config.heads
        self.cross_attention = DeformableAttention(channels, levels, config.heads, config.points)
        self.self_attention = nn.MultiheadAttention(channels, config.heads, batch_first=True)
        self.feed_forward = _mlp(channels, config.hidden, channels, layers=2)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))

    def forward(
        self,
        queries: Tensor,
        position: Tensor,
        references: Tensor,
        memory: Memory,
        mask: Tensor | None,
    ) -> Tensor:
        """Queries (B, Q, channels) after this layer; see `Decoder` and `DeformableAttention` for the arguments."""
        placed = queries + position
        masks = None if mask is None else mask.repeat_interleave(self.heads, dim=0)
        attended, _ = self.self_attention(placed, placed, queries, attn_mask=masks, need_weights=False)
        queries = self.norms[0](queries + attended)
        attended = self.cross_attention(queries + position, references, memory)
        queries = self.norms[1](queries + attended)
        result: Tensor = self.norms[2](queries + self.feed_forward(queries))
        return result


def logit(fractions: Tensor) -> Tensor:
    """Inverse of the sigmoid; fractions closer than 1e-5 to 0 or 1 are replaced by 1e-5 and 1 - 1e-5."""
    return torch.logit(fractions, eps=1e-5)


def _mlp(channels_in: int, hidden: int, channels_out: int, layers: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    sizes = [channels_in, *[hidden] * (layers - 1), channels_out]
    parts: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        parts += [nn.Linear(size_in, size_out), nn.ReLU()]
    return nn.Sequential(*parts[:-1])
