"""Adaptive assignment: the IoU threshold of each object depends on the priors around it (ATSS)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND, Assignment, PaddedTargets, Prediction
from metrics.iou import box_iou


class ATSSAssigner:
    """The closest priors of each level are candidates for an object; those with a high IoU are positive.

    Zhang et al. 2020 (ATSS), algorithm 1: the threshold is the mean plus the standard deviation of the candidates' IoU,
    and the centre of a positive prior lies in the object. A prior with several objects is assigned to the one with the
    highest IoU.

    Args:
        closest: k, candidates per level; 9 in the paper.
    """

    needs_prediction = False

    def __init__(self, closest: int = 9) -> None:
        self.closest = closest

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`."""
        centre = (priors[:, :2] + priors[:, 2:]) * 0.5
        middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) * 0.5
        candidates = self._candidates(
            torch.cdist(middle, centre.expand(len(middle), -1, -1)), levels
        )  # (B, G, K)
        iou = box_iou(truth.boxes, priors)  # (B, G, A)
        of_candidates = iou.gather(2, candidates)
        threshold = of_candidates.mean(dim=2) + of_candidates.std(
            dim=2, correction=min(1, candidates.shape[2] - 1)
        )
        fits = (
            (of_candidates >= threshold[..., None])
            & inside(centre, truth.boxes).gather(2, candidates)
            & truth.valid[..., None]
        )
        claim = torch.full_like(iou, -1.0).scatter(2, candidates, torch.where(fits, of_candidates, -1.0))
        best, objects = claim.max(dim=1)
        return Assignment(torch.where(best >= 0, objects, BACKGROUND))

    def _candidates(self, distance: Tensor, levels: Sequence[int]) -> Tensor:
        """(B, G, K) indices of the closest priors of each object, level by level."""
        nearest, start = [], 0
        for size in levels:
            near = distance[..., start : start + size].topk(
                min(self.closest, size), largest=False, sorted=False
            )
            nearest.append(near.indices + start)
            start += size
        return torch.cat(nearest, dim=-1)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(B, G, A) whether each of the points (A, 2) lies inside each of the boxes (B, G, 4), not on its border."""
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    return ((points > low) & (points < high)).all(dim=-1)
