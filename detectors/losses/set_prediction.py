"""Bipartite matching of queries and objects, and the losses of matched queries."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detectors.assigners.types import BACKGROUND, PaddedTargets
from detectors.losses.classification import ClassLoss
from metrics.boxes import convert
from metrics.iou import aligned_box_iou, aligned_generalized_box_iou, generalized_box_iou


class SetWeights(NamedTuple):
    """Weights of the three terms, in the cost of the matching and in the loss; the defaults are those of Zhu et al. 2021.

    Attributes:
        score: of the class.
        l1: of the L1 distance of the boxes, cxcywh, as fractions of the image's sides.
        giou: of 1 - GIoU.
    """

    score: float = 2.0
    l1: float = 5.0
    giou: float = 2.0


class SetLosses(NamedTuple):
    """Weighted losses of a set of queries, each (B,): the sums over the queries of each image.

    Attributes:
        score: of the classes.
        box: L1 and GIoU.
    """

    score: Tensor
    box: Tensor


class SetLoss:
    """Losses of queries that are matched to objects one to one (Carion et al. 2020, section 3.1).

    The class cost is that of Zhu et al. 2021: the difference of the focal losses (alpha .25, gamma 2) of a query as the
    object's class and as background.

    Args:
        class_loss: of the logits; if it is `soft`, the target of a matched query is the IoU of its box.
        weights: of the terms.
    """

    def __init__(self, class_loss: ClassLoss, weights: SetWeights) -> None:
        self.class_loss = class_loss
        self.weights = weights

    @torch.no_grad()
    def match(self, logits: Tensor, boxes: Tensor, truth: PaddedTargets) -> Tensor:
        """Match queries and objects at the smallest total cost, image by image, on the CPU.

        Args:
            logits: (B, Q, C).
            boxes: (B, Q, 4) cxcywh, as fractions of the image's sides.
            truth: G objects per image, with boxes in the same layout and unit.

        Returns:
            (B, Q) index of the object of each query, or `BACKGROUND`.
        """
        costs = self.costs(logits, boxes, truth).cpu()
        return match(costs, truth.valid.cpu()).to(logits.device)

    def costs(self, logits: Tensor, boxes: Tensor, truth: PaddedTargets) -> Tensor:
        """(B, G, Q) cost of each pair of object and query; see `match` for the arguments."""
        labels = truth.labels[..., None].expand(-1, -1, logits.shape[1])
        score = focal_cost(logits).transpose(1, 2).gather(1, labels)
        distance = (truth.boxes[:, :, None] - boxes[:, None]).abs().sum(dim=-1)
        giou = generalized_box_iou(_corners(truth.boxes), _corners(boxes))
        return self.weights.score * score + self.weights.l1 * distance - self.weights.giou * giou

    def __call__(self, logits: Tensor, boxes: Tensor, objects: Tensor, truth: PaddedTargets) -> SetLosses:
        """Losses of queries.

        Args:
            logits: (B, Q, C).
            boxes: (B, Q, 4) cxcywh, as fractions of the image's sides.
            objects: (B, Q) index of the object of each query, `BACKGROUND`, or `IGNORE`.
            truth: G objects per image, with boxes in the same layout and unit.
        """
        image, query = (objects >= 0).nonzero(as_tuple=True)
        own = objects[image, query]
        found, wanted = boxes[image, query], truth.boxes[image, own]
        corners, wanted_corners = _corners(found), _corners(wanted)
        quality = torch.zeros_like(logits[..., 0])
        quality[image, query] = aligned_box_iou(corners.detach(), wanted_corners).clamp(min=0)
        labels = torch.where(objects >= 0, truth.labels.gather(1, objects.clamp(min=0)), objects)
        distance = F.l1_loss(found, wanted, reduction="none").sum(dim=-1)
        overlap = 1 - aligned_generalized_box_iou(corners, wanted_corners)
        per_box = self.weights.l1 * distance + self.weights.giou * overlap
        return SetLosses(
            self.weights.score * self.class_loss(logits, labels, quality),
            per_box.new_zeros(len(logits)).index_add(0, image, per_box),
        )


def focal_cost(logits: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each logit as a positive minus that as a negative; (...) to (...)."""
    score = logits.sigmoid()
    positive = alpha * (1 - score) ** gamma * F.softplus(-logits)
    negative = (1 - alpha) * score**gamma * F.softplus(logits)
    return positive - negative


def match(costs: Tensor, valid: Tensor) -> Tensor:
    """Minimum cost matching of objects and queries; costs that are not finite count as very large.

    Args:
        costs: (B, G, Q), on the CPU.
        valid: (B, G) False for objects that are not matched.

    Returns:
        (B, Q) index of the object of each query, or `BACKGROUND`. If there are more objects than queries, some objects have
        no query.
    """
    objects = torch.full((costs.shape[0], costs.shape[2]), BACKGROUND)
    finite = torch.nan_to_num(costs.double(), nan=1e6, posinf=1e6, neginf=1e6).numpy()
    for image, (cost, real) in enumerate(zip(finite, valid.numpy(), strict=True)):
        own = real.nonzero()[0]
        rows, columns = linear_sum_assignment(cost[own])
        objects[image, columns] = torch.from_numpy(own[rows])
    return objects


def relative_targets(truth: PaddedTargets, image_size: tuple[int, int]) -> PaddedTargets:
    """The same objects with boxes (B, G, 4) cxcywh, as fractions of the image's sides."""
    height, width = image_size
    unit = truth.boxes.new_tensor([width, height, width, height])
    return truth._replace(boxes=convert(truth.boxes / unit, "xyxy", "cxcywh"))


def repeated(truth: PaddedTargets, times: int) -> PaddedTargets:
    """The objects of each image `times` times in succession: (B, G) to (B * times, G); without ignored regions."""
    return PaddedTargets(*(column.repeat_interleave(times, dim=0) for column in truth[:3]))


def _corners(boxes: Tensor) -> Tensor:
    return convert(boxes, "cxcywh", "xyxy")
