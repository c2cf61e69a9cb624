"""Losses on distributions over distances, and box losses added up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.coders import BoxCoder, DistributionCoder
from detectors.losses.box import BoxLoss


class DistributionFocalLoss:
    """Puts each distance's probability on the two bins beside it, the mean of the four sides.

    Li et al. 2020 (generalised focal loss), eq. 6: -((y_{i+1} - y) ln S_i + (y - y_i) ln S_{i+1}). Only for codes
    of a `DistributionCoder`.
    """

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        assert isinstance(coder, DistributionCoder)
        distances = coder.targets(boxes, priors)
        below = distances.floor().clamp(max=coder.bins - 1)
        share = distances - below  # of the bin above
        logs = F.log_softmax(codes.reshape(*codes.shape[:-1], 4, coder.bins + 1), dim=-1)
        low = logs.gather(-1, below.long()[..., None]).squeeze(-1)
        high = logs.gather(-1, below.long()[..., None] + 1).squeeze(-1)
        return -((1 - share) * low + share * high).mean(dim=-1)


class SumOfLosses:
    """Box losses added up.

    Args:
        losses: each with its weight.
    """

    def __init__(self, losses: Sequence[tuple[BoxLoss, float]]) -> None:
        self.losses = tuple(losses)

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        return torch.stack([weight * loss(codes, boxes, priors, coder) for loss, weight in self.losses]).sum(
            dim=0
        )
