"""Distribution focal loss, and weighted sums of box losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.coders import BoxCoder, DistributionCoder
from detectors.losses.box import BoxLoss


class DistributionFocalLoss:
    """Cross-entropy on the two bins next to each distance, averaged over the four sides.

    Li et al. 2020 (generalised focal loss), eq. 6: -((y_{i+1} - y) ln S_i + (y - y_i) ln S_{i+1}). The coder must be a
    `DistributionCoder`.
    """

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        assert isinstance(coder, DistributionCoder)
        distances = coder.targets(boxes, priors)
        below = distances.floor().clamp(max=coder.bins - 1)
        weight = distances - below  # of the upper bin
        logs = F.log_softmax(codes.reshape(*codes.shape[:-1], 4, coder.bins + 1), dim=-1)
        low = logs.gather(-1, below.long()[..., None]).squeeze(-1)
        high = logs.gather(-1, below.long()[..., None] + 1).squeeze(-1)
        return -((1 - weight) * low + weight * high).mean(dim=-1)


class SumOfLosses:
    """Weighted sum of box losses.

    Args:
        losses: pairs of a loss and its weight.
    """

    def __init__(self, losses: Sequence[tuple[BoxLoss, float]]) -> None:
        self.losses = tuple(losses)

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        return torch.stack([weight * loss(codes, boxes, priors, coder) for loss, weight in self.losses]).sum(
            dim=0
        )
