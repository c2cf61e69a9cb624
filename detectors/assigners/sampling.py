"""Random samples of priors and regions for the losses of two-stage detectors."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND


class BalancedSampler:
    """Draws at most `size` members of each image: positives up to a share, then background until the sample is full.

    Ren et al. 2015 (Faster R-CNN), section 3.1.3, and Girshick 2015 (Fast R-CNN), section 2.3. Ignored members are never
    drawn. The numbers are drawn from torch's generator of the device, so that a training that seeds it for each step draws
    the same samples after it is resumed.

    Args:
        size: of the sample of an image.
        positives: largest share of positives in `size`; if there are fewer, background takes their place.
    """

    def __init__(self, size: int, positives: float) -> None:
        self.size = size
        self.positives = positives

    def counts(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Number of positives and of background, both (B,), that are drawn of `labels` (B, N); without a draw."""
        found = (labels >= 0).sum(dim=1).clamp(max=int(self.size * self.positives))
        return found, torch.minimum((labels == BACKGROUND).sum(dim=1), self.size - found)

    def __call__(self, labels: Tensor) -> Tensor:
        """(B, N) True for the members that are drawn.

        Args:
            labels: (B, N), at least 0 for positives, -1 for background, -2 for ignored members.
        """
        drawn = torch.zeros_like(labels, dtype=torch.bool)
        key = torch.rand(labels.shape, device=labels.device)
        groups = (labels >= 0, labels == BACKGROUND)
        for members, count in zip(groups, self.counts(labels), strict=True):
            order = torch.where(members, key, -1.0).topk(min(self.size, labels.shape[1]), dim=1).indices
            first = torch.arange(order.shape[1], device=labels.device) < count[:, None]
            drawn |= torch.zeros_like(drawn).scatter(1, order, first)
        return drawn
