"""Quality losses: a branch predicts the quality of a box, which is multiplied into its score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.iou import aligned_box_iou

Quality = Literal["centerness", "iou", "none"]
"""Names in settings; ``none``: no quality branch."""
BoxWeights = Literal["equal", "centerness"]
"""Names in settings of the weights of positive priors in the box loss."""


class QualityLoss(Protocol):
    """Loss of the quality branch."""

    def __call__(self, logits: Tensor, decoded: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """Loss (P,) of each positive prior: binary cross-entropy with the target quality.

        Args:
            logits: (P,) of the quality branch.
            decoded: (P, 4) xyxy predicted boxes, without gradients.
            boxes: (P, 4) xyxy of the assigned objects.
            priors: (P, 4) xyxy.
        """
        ...


class CenternessLoss:
    """Quality is the centerness of the prior in its object (Tian et al. 2019, eq. 3)."""

    def __call__(self, logits: Tensor, decoded: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """See `QualityLoss`."""
        return F.binary_cross_entropy_with_logits(logits, centerness(boxes, priors), reduction="none")


class IoULoss:
    """Quality is the IoU of the decoded box and its object (Wu et al. 2020, IoU-aware RetinaNet)."""

    def __call__(self, logits: Tensor, decoded: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """See `QualityLoss`."""
        return F.binary_cross_entropy_with_logits(logits, aligned_box_iou(decoded, boxes), reduction="none")


def quality_loss(kind: Quality) -> QualityLoss | None:
    """The quality loss of that name."""
    match kind:
        case "centerness":
            return CenternessLoss()
        case "iou":
            return IoULoss()
        case "none":
            return None


def box_weights(kind: BoxWeights) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Weights (P,) of positive priors in the box loss, from the boxes of their objects and the priors, both (P, 4).

    ``centerness`` is from the programs of the authors of FCOS and ATSS. None: all 1.
    """
    return centerness if kind == "centerness" else None


def centerness(boxes: Tensor, priors: Tensor) -> Tensor:
    """sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) of the priors' centres in `boxes`, both (P, 4); (P,) in [0, 1].

    Centerness is 0 on the border of the box and outside.
    """
    centre = (priors[..., :2] + priors[..., 2:]) * 0.5
    before, after = centre - boxes[..., :2], boxes[..., 2:] - centre
    near, far = torch.minimum(before, after).clamp(min=0), torch.maximum(before, after)
    return (near / far.clamp(min=1e-6)).prod(dim=-1).sqrt()
