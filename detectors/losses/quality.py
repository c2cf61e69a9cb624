"""Quality losses: how well a box is placed, said by a branch of its own, and multiplied into the score."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.iou import aligned_box_iou

Quality = Literal["centerness", "iou", "none"]
"""What a user calls each; ``none`` has no branch."""


class QualityLoss(Protocol):
    """What the quality branch should say."""

    def __call__(self, logits: Tensor, found: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """The loss (P,) of each positive prior: binary cross-entropy with the quality it should name.

        Args:
            logits: (P,) of the quality branch.
            found: (P, 4) xyxy, decoded; no gradient flows back through them.
            boxes: (P, 4) xyxy of the objects to be found.
            priors: (P, 4) xyxy.
        """
        ...


class CenternessLoss:
    """Quality is how near the middle of its object the prior lies (Tian et al. 2019, eq. 3)."""

    def __call__(self, logits: Tensor, found: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """See `QualityLoss`."""
        return F.binary_cross_entropy_with_logits(logits, centerness(boxes, priors), reduction="none")


class IoULoss:
    """Quality is the IoU of the decoded box with its object (Wu et al. 2020, IoU-aware RetinaNet)."""

    def __call__(self, logits: Tensor, found: Tensor, boxes: Tensor, priors: Tensor) -> Tensor:
        """See `QualityLoss`."""
        return F.binary_cross_entropy_with_logits(logits, aligned_box_iou(found, boxes), reduction="none")


def quality_loss(kind: Quality) -> QualityLoss | None:
    """The quality loss that a user names."""
    match kind:
        case "centerness":
            return CenternessLoss()
        case "iou":
            return IoULoss()
        case "none":
            return None


def centerness(boxes: Tensor, priors: Tensor) -> Tensor:
    """sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) of the priors' centres in `boxes`, both (P, 4); (P,) in [0, 1].

    A centre on the border or outside of its box has centerness 0.
    """
    centre = (priors[..., :2] + priors[..., 2:]) * 0.5
    before, after = centre - boxes[..., :2], boxes[..., 2:] - centre
    near, far = torch.minimum(before, after).clamp(min=0), torch.maximum(before, after)
    return (near / far.clamp(min=1e-6)).prod(dim=-1).sqrt()
