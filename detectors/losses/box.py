"""Box losses on codes (smooth L1, L1, MSE) or on decoded boxes (IoU, GIoU, DIoU, CIoU), with one interface."""

from __future__ import annotations

from typing import Literal, Protocol

import torch.nn.functional as F
from torch import Tensor

from detectors.coders import BoxCoder
from metrics.iou import (
    aligned_box_iou,
    aligned_complete_box_iou,
    aligned_distance_box_iou,
    aligned_generalized_box_iou,
)

BoxLossName = Literal["smooth_l1", "l1", "iou", "giou", "diou", "ciou"]
"""Names in settings."""


class BoxLoss(Protocol):
    """Box regression loss."""

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """Loss (P,) of each positive prior.

        Args:
            codes: (P, coder.channels) predicted.
            boxes: (P, 4) xyxy of the assigned objects.
            priors: (P, 4) xyxy.
            coder: of the codes.
        """
        ...


class SmoothL1Loss:
    """Huber's loss on codes, summed over the four: d^2 / (2 beta) if d < beta, else d - beta / 2 (Girshick 2015, eq. 3).

    Args:
        beta: difference above which the loss is linear; 0 makes it the L1 loss.
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        return F.smooth_l1_loss(codes, coder.encode(boxes, priors), reduction="none", beta=self.beta).sum(
            dim=-1
        )


class SquaredLoss:
    """Mean squared error (MSE) of the codes of a box: the mean of the squared differences of its coordinates."""

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        return F.mse_loss(codes, coder.encode(boxes, priors), reduction="none").mean(dim=-1)


Overlap = Literal["iou", "giou", "diou", "ciou"]

_OVERLAPS = {
    "iou": aligned_box_iou,
    "giou": aligned_generalized_box_iou,
    "diou": aligned_distance_box_iou,
    "ciou": aligned_complete_box_iou,
}


class OverlapLoss:
    """1 - IoU of the decoded box and its object, or a variant of IoU; the same function as in evaluation.

    Args:
        kind: ``iou``; ``giou`` (Rezatofighi et al. 2019); ``diou``, ``ciou`` (Zheng et al. 2020).
    """

    def __init__(self, kind: Overlap = "giou") -> None:
        self.kind = kind
        self._overlap = _OVERLAPS[kind]

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        return 1 - self._overlap(coder.decode(codes, priors), boxes)


def box_loss(kind: BoxLossName, beta: float = 1.0) -> BoxLoss:
    """The box loss of that name; `beta` is that of smooth L1."""
    if kind == "smooth_l1":
        return SmoothL1Loss(beta)
    if kind == "l1":
        return SmoothL1Loss(0.0)
    return OverlapLoss(kind)
