"""Losses of single images over drawn regions, of which the losses of a batch are sums: of anchors, and of proposals in the heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from detectors.losses.classification import ClassLoss
from detectors.types import divided_by_image


class RegionLosses(NamedTuple):
    """Drawn regions of a batch with what their losses are computed from, without gradient.

    Attributes:
        weight: factor of both losses.
        logits: (K, channels) of the drawn regions, those of each image in turn.
        labels: (K,) of the same.
        boxes: (F,) box losses of the regions with an object.
        image: (F,) image of each of these.
    """

    weight: float
    logits: Tensor
    labels: Tensor
    boxes: Tensor
    image: Tensor


def image_terms_of_regions(
    stages: Sequence[RegionLosses], class_loss: ClassLoss, counts: Tensor, box_weight: float = 1.0
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """`LossSum.each` of the class and the box loss, summed over stages.

    Args:
        stages: regions of each.
        class_loss: of the regions; it is computed again, image by image.
        counts: (B,) drawn regions of each image, the same in all stages.
        box_weight: factor of the box losses.
    """

    @torch.no_grad()
    def classes() -> Tensor:
        total, sizes = torch.zeros(len(counts), device=counts.device), counts.tolist()
        for stage in stages:
            parts = zip(torch.split(stage.logits, sizes), torch.split(stage.labels, sizes), strict=True)
            losses = [class_loss(logits[None], labels[None]).sum().float() for logits, labels in parts]
            total += stage.weight * torch.stack(losses)
        return divided_by_image(total, counts)

    def boxes() -> Tensor:
        total = torch.zeros(len(counts), device=counts.device)
        for stage in stages:
            total.index_add_(0, stage.image, stage.weight * stage.boxes.float())
        return divided_by_image(box_weight * total, counts)

    return classes, boxes
