"""One-to-one assignment of objects to priors with the smallest total cost (DETR)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detectors.assigners.types import BACKGROUND, Assignment, PaddedTargets, Prediction
from metrics.iou import generalized_box_iou


class HungarianAssigner:
    """Minimum cost matching of objects and priors, from the current predictions.

    Carion et al. 2020 (DETR), eq. 1 and appendix A.2: the cost is minus the score of the object's class, plus the L1
    distance of centre and size relative to the image, plus 1 - GIoU, each weighted.

    Args:
        score: weight of the score; 1 in the paper.
        l1: weight of the L1 distance; 5 in the paper.
        giou: weight of the GIoU; 2 in the paper.
    """

    needs_prediction = True

    def __init__(self, score: float = 1.0, l1: float = 5.0, giou: float = 2.0) -> None:
        self.score = score
        self.l1 = l1
        self.giou = giou

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`. The matching is computed on the CPU, image by image."""
        assert prediction is not None
        costs = self.costs(truth, prediction).cpu().numpy()
        valid = truth.valid.cpu().numpy()
        verdicts = torch.full(prediction.scores.shape[:2], BACKGROUND)
        for image, (cost, real) in enumerate(zip(costs, valid, strict=True)):
            objects = torch.from_numpy(real.nonzero()[0])
            rows, columns = linear_sum_assignment(cost[real])
            verdicts[image, columns] = objects[rows]
        return Assignment(verdicts.to(priors.device))

    def costs(self, truth: PaddedTargets, prediction: Prediction) -> Tensor:
        """(B, G, A) cost of each pair of object and prior."""
        height, width = prediction.image_size
        unit = truth.boxes.new_tensor([width, height, width, height])
        distance = torch.cdist(_centre_size(truth.boxes / unit), _centre_size(prediction.boxes / unit), p=1)
        wanted = truth.labels[..., None].expand(-1, -1, prediction.boxes.shape[1])
        score = prediction.scores.transpose(1, 2).gather(1, wanted)
        giou = generalized_box_iou(truth.boxes, prediction.boxes)
        return self.l1 * distance - self.score * score + self.giou * (1 - giou)


def _centre_size(boxes: Tensor) -> Tensor:
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) * 0.5, high - low], dim=-1)
