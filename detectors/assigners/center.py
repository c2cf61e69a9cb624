"""Assignment by centre: points near the centre of an object are positive (FCOS)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND, Assignment, PaddedTargets, Prediction


class CenterAssigner:
    """A point is assigned to the smallest object that contains it, near the object's centre and at the right level.

    Tian et al. 2022 (FCOS), sections 2.1 and 2.2.

    Args:
        radius: largest distance of a point from the object's centre, in x and in y, in strides; 1.5 in the paper.
        reach: the distance of the farthest side from the point must be reach / 2 to reach strides, without a lower limit
            at the finest and an upper limit at the coarsest level. 8 in the paper: 0-64 pixels at stride 8, 64-128 at
            stride 16, and so on; use less for small images.
    """

    needs_prediction = False

    def __init__(self, radius: float = 1.5, reach: float = 8.0) -> None:
        self.radius = radius
        self.reach = reach

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`; priors are squares of one stride."""
        stride = (priors[:, 2] - priors[:, 0])[:, None]
        points = (priors[:, :2] + priors[:, 2:]) * 0.5
        low = torch.cat([stride.new_zeros(levels[0], 1), stride[levels[0] :] * (self.reach / 2)])
        high = (stride * self.reach).index_fill(0, _last(levels, priors.device), float("inf"))

        boxes = truth.boxes[:, None]  # (B, 1, G, 4) against (A, 1)
        x, y = points[:, :1], points[:, 1:]
        sides = torch.stack(
            [x - boxes[..., 0], y - boxes[..., 1], boxes[..., 2] - x, boxes[..., 3] - y], dim=-1
        )
        centre = (boxes[..., :2] + boxes[..., 2:]) * 0.5
        distance = (points[:, None] - centre).abs().amax(dim=-1)
        farthest = sides.amax(dim=-1)
        fits = (
            (distance < self.radius * stride)
            & (sides.amin(dim=-1) > 0)
            & (farthest > low)
            & (farthest < high)
            & truth.valid[:, None]
        )
        size = truth.boxes[..., 2:] - truth.boxes[..., :2]
        smallest, objects = torch.where(fits, size.prod(dim=-1)[:, None], float("inf")).min(dim=-1)
        return Assignment(torch.where(smallest.isfinite(), objects, BACKGROUND))


def _last(levels: Sequence[int], device: torch.device) -> Tensor:
    """Indices of the coarsest level's priors."""
    total = sum(levels)
    return torch.arange(total - levels[-1], total, device=device)
