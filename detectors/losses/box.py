"""Box losses, on codes (smooth L1, L1) or on boxes (IoU and its kin); interchangeable, because each gets both."""

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
"""What a user calls each."""


class BoxLoss(Protocol):
    """What a misplaced box costs."""

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """The loss (P,) of each positive prior.

        Args:
            codes: (P, coder.channels) that the network gave.
            boxes: (P, 4) xyxy of the objects to be found.
            priors: (P, 4) xyxy.
            coder: which writes boxes against priors.
        """
        ...


class SmoothL1Loss:
    """Huber's loss on codes, summed over the four: d^2 / (2 beta) if d < beta, else d - beta / 2 (Girshick 2015, eq. 3).

    Args:
        beta: where the parabola becomes a line; 0 makes it the plain L1 loss.
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def __call__(self, codes: Tensor, boxes: Tensor, priors: Tensor, coder: BoxCoder) -> Tensor:
        """See `BoxLoss`."""
        return F.smooth_l1_loss(codes, coder.encode(boxes, priors), reduction="none", beta=self.beta).sum(
            dim=-1
        )


Overlap = Literal["iou", "giou", "diou", "ciou"]

_OVERLAPS = {
    "iou": aligned_box_iou,
    "giou": aligned_generalized_box_iou,
    "diou": aligned_distance_box_iou,
    "ciou": aligned_complete_box_iou,
}


class OverlapLoss:
    """1 - overlap of the decoded box with its object; the overlap is the very function that evaluation uses.

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
    """The box loss that a user names; `beta` is that of smooth L1."""
    if kind == "smooth_l1":
        return SmoothL1Loss(beta)
    if kind == "l1":
        return SmoothL1Loss(0.0)
    return OverlapLoss(kind)
