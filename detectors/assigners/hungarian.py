"""One-to-one assignment of objects to priors with the smallest total cost (DETR, OneNet)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detectors.assigners.atss import inside
from detectors.assigners.types import BACKGROUND, Assignment, PaddedTargets, Prediction
from metrics.iou import generalized_box_iou

_OUTSIDE = 1e3
"""Cost of a prior whose centre is outside the object, more than all other costs together."""


class HungarianAssigner:
    """Minimum cost matching of objects and priors, from the current predictions.

    Carion et al. 2020 (DETR), eq. 1 and appendix A.2, with the class cost of focal loss (Zhu et al. 2021, Deformable DETR;
    Sun et al. 2021, OneNet): the loss as a positive minus the loss as background, plus the L1 distance of centre and size
    relative to the image, plus 1 - GIoU, each weighted. Minus the score, DETR's class cost, is nearly the same for all
    priors early in training, and box costs alone assign other priors in every step.

    A prior whose centre is outside the object is only matched if no other is left, because a point cannot predict a box
    that does not contain it.

    Args:
        score: weight of the class cost; 2 in OneNet.
        l1: weight of the L1 distance; 5.
        giou: weight of the GIoU; 2.
        alpha: of the focal loss; 0.25.
        gamma: of the focal loss; 2.
    """

    needs_prediction = True

    def __init__(
        self, score: float = 2.0, l1: float = 5.0, giou: float = 2.0, alpha: float = 0.25, gamma: float = 2.0
    ) -> None:
        self.score = score
        self.l1 = l1
        self.giou = giou
        self.alpha = alpha
        self.gamma = gamma

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`. The matching is computed on the CPU, image by image."""
        assert prediction is not None
        tables = self.total_costs(truth, priors, prediction).cpu().numpy()
        valid = truth.valid.cpu().numpy()
        verdicts = torch.full(prediction.scores.shape[:2], BACKGROUND)
        for image, (cost, real) in enumerate(zip(tables, valid, strict=True)):
            objects = torch.from_numpy(real.nonzero()[0])
            rows, columns = linear_sum_assignment(cost[real])
            verdicts[image, columns] = objects[rows]
        return Assignment(verdicts.to(priors.device))

    def total_costs(self, truth: PaddedTargets, priors: Tensor, prediction: Prediction) -> Tensor:
        """(B, G, A) cost of each pair of object and prior, with that of a prior outside."""
        within = inside((priors[:, :2] + priors[:, 2:]) * 0.5, truth.boxes)
        return torch.where(within, 0.0, _OUTSIDE) + self.costs(truth, prediction)

    def costs(self, truth: PaddedTargets, prediction: Prediction) -> Tensor:
        """(B, G, A) cost of each pair of object and prior, wherever the prior is."""
        height, width = prediction.image_size
        unit = truth.boxes.new_tensor([width, height, width, height])
        distance = torch.cdist(_centre_size(truth.boxes / unit), _centre_size(prediction.boxes / unit), p=1)
        wanted = truth.labels[..., None].expand(-1, -1, prediction.boxes.shape[1])
        score = prediction.scores.transpose(1, 2).gather(1, wanted).clamp(1e-6, 1 - 1e-6)
        positive = -self.alpha * (1 - score) ** self.gamma * score.log()
        background = -(1 - self.alpha) * score**self.gamma * (1 - score).log()
        giou = generalized_box_iou(truth.boxes, prediction.boxes)
        return self.score * (positive - background) + self.l1 * distance + self.giou * (1 - giou)


def _centre_size(boxes: Tensor) -> Tensor:
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) * 0.5, high - low], dim=-1)
