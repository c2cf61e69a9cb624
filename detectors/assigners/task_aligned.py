"""Task-aligned assignment: priors with the best score and box for an object are positive (TOOD)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.assigners.atss import inside
from detectors.assigners.types import BACKGROUND, Assignment, PaddedTargets, Prediction
from metrics.iou import box_iou


class TaskAlignedAssigner:
    """The priors inside an object with the highest score^alpha IoU^beta are positive.

    Feng et al. 2021 (TOOD), section 3.3: score is the predicted score of the object's class, IoU that of the predicted
    box. The target score is this metric, scaled so that its maximum over the object's priors is the best IoU. A prior
    with several objects is assigned to the one with which its box has the highest IoU.

    Args:
        top: positive priors per object; 13 in the paper.
        alpha: exponent of the score; 1 in the paper.
        beta: exponent of the IoU; 6 in the paper.
    """

    needs_prediction = True

    def __init__(self, top: int = 13, alpha: float = 1.0, beta: float = 6.0) -> None:
        self.top = top
        self.alpha = alpha
        self.beta = beta

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`."""
        assert prediction is not None
        iou = box_iou(truth.boxes, prediction.boxes).clamp(min=0)  # (B, G, A)
        wanted = truth.labels[..., None].expand(-1, -1, len(priors))
        score = prediction.scores.transpose(1, 2).gather(1, wanted)
        within = inside((priors[:, :2] + priors[:, 2:]) * 0.5, truth.boxes) & truth.valid[..., None]
        metric = torch.where(within, score**self.alpha * iou**self.beta, -1.0)

        best = metric.topk(min(self.top, len(priors)), dim=2)
        chosen = torch.zeros_like(within).scatter(2, best.indices, best.values >= 0)
        claim, objects = torch.where(chosen, iou, -1.0).max(dim=1)
        verdicts = torch.where(claim >= 0, objects, BACKGROUND)

        own = torch.where(chosen & (verdicts[:, None] == _numbers(truth)), metric, 0.0)
        highest = own.amax(dim=2, keepdim=True)
        best_iou = torch.where(own > 0, iou, 0.0).amax(dim=2, keepdim=True)
        scores = (own / highest.clamp(min=1e-12) * best_iou).amax(dim=1)
        return Assignment(verdicts, scores)


def _numbers(truth: PaddedTargets) -> Tensor:
    return torch.arange(truth.valid.shape[1], device=truth.valid.device)[None, :, None]
