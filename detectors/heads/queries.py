"""Queries of set prediction: from the best proposals of a dense head, or learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detectors.coders import BoxCoder
from detectors.heads.dense import HeadOutput
from detectors.priors import GridPriors
from detectors.types import DenseOutput


class Queries(NamedTuple):
    """Q queries for each of B images.

    Attributes:
        content: (B, Q, channels).
        references: (B, Q, 4) cxcywh, as fractions of the image's sides.
        dense: output of the dense head that made the proposals; None for learned queries.
    """

    content: Tensor
    references: Tensor
    dense: DenseOutput | None


class ProposalQueries(nn.Module):
    """The priors with the highest class scores of a dense head, their decoded boxes, and the features at their cells.

    Zhu et al. 2021, appendix A.4 (two-stage Deformable DETR), and, for the content, Zhao et al. 2024 (RT-DETR). No gradient
    reaches the dense head through the boxes.

    Args:
        head: computes logits and codes from the levels.
        coder: decodes the codes.
        priors: one per cell of every level.
        channels: of the levels.
        number: Q; fewer if an image has fewer priors.
    """

    def __init__(
        self, head: nn.Module, coder: BoxCoder, priors: GridPriors, channels: int, number: int
    ) -> None:
        super().__init__()
        self.head = head
        self.coder = coder
        self.priors = priors
        self.number = number
        self.content = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels))

    def forward(self, features: Sequence[Tensor], image_size: tuple[int, int]) -> Queries:
        """Queries from the levels (B, channels, rows, columns) of images of (height, width)."""
        found: HeadOutput = self.head(features)
        logits, codes = found.logits, found.codes
        grids = [(feature.shape[2], feature.shape[3]) for feature in features]
        levels = tuple(rows * columns for rows, columns in grids)
        priors = self.priors(grids, image_size, logits.device)
        dense = DenseOutput(logits, codes, None, priors, image_size, levels)
        scores = logits.detach().amax(dim=-1)
        best = scores.topk(min(self.number, scores.shape[1]), dim=1).indices
        cells = torch.cat([feature.flatten(2) for feature in features], dim=2).transpose(1, 2)
        chosen = cells.gather(1, best[..., None].expand(-1, -1, cells.shape[2]))
        codes_of_best = not_half(codes.detach()).gather(1, best[..., None].expand(-1, -1, codes.shape[2]))
        boxes = self.coder.decode(codes_of_best, priors[best])
        return Queries(self.content(chosen), fractions(boxes, image_size), dense)


class LearnedQueries(nn.Module):
    """Learned content and reference boxes, the same for every image (Zhu et al. 2021; boxes as in Liu et al. 2022, DAB-DETR).

    Args:
        channels: of the content.
        number: Q.
    """

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.content = nn.Parameter(torch.randn(number, channels))
        centres = torch.rand(number, 2)
        sizes = torch.rand(number, 2) * 0.4 + 0.1
        self.references = nn.Parameter(torch.logit(torch.cat([centres, sizes], dim=-1), eps=1e-3))

    def forward(self, features: Sequence[Tensor], image_size: tuple[int, int]) -> Queries:
        """Queries for a batch of the size of the levels' (B, channels, rows, columns)."""
        batch = features[0].shape[0]
        content = self.content.expand(batch, -1, -1)
        return Queries(content, self.references.sigmoid().expand(batch, -1, -1), None)


def not_half(x: Tensor) -> Tensor:
    """`x` in float32 if it is in half precision, as in a network with mixed precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def fractions(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(..., 4) cxcywh as fractions of the image's sides, of xyxy boxes (..., 4) in pixels, clipped to the image."""
    height, width = image_size
    corners = (boxes / boxes.new_tensor([width, height, width, height])).clamp(0, 1)
    low, high = corners[..., :2], corners[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)
