"""Losses of label maps: cross-entropy of pixels, soft Dice and soft Jaccard (IoU) of classes."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.losses.class_weights import weigh
from metrics.pixel_labels import IGNORED

Over = Literal["image", "batch"]


class PixelTargets(NamedTuple):
    """Label maps of a batch as the losses need them.

    Attributes:
        labels: (B, H, W) int64 in [0, K); 0 where ignored.
        labelled: (B, H, W) bool, False where ignored.
    """

    labels: Tensor
    labelled: Tensor


def pixel_targets(label_maps: Tensor) -> PixelTargets:
    """Targets from (B, H, W) uint8 label maps, in which `IGNORED` pixels do not count."""
    labelled = label_maps != IGNORED
    return PixelTargets(torch.where(labelled, label_maps, 0).long(), labelled)


def cross_entropy_map(logits: Tensor, targets: PixelTargets, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy (B, H, W) of the pixels; 0 where they are not labelled.

    Args:
        logits: (B, K, H, W).
        targets: of the same images.
        weights: (K,) factor of the pixels of each class; None: 1.
    """
    cost = F.cross_entropy(logits, targets.labels, reduction="none")
    return torch.where(targets.labelled, weigh(cost, targets.labels, weights), 0.0)


class ClassAreas(NamedTuple):
    """Soft areas of each class, (R, K), over R regions: every image, or the whole batch.

    Attributes:
        intersection: sum of the class's probability over the pixels that have the class.
        predicted: sum of its probability.
        truth: number of pixels that have it.
    """

    intersection: Tensor
    predicted: Tensor
    truth: Tensor


def class_areas(probabilities: Tensor, targets: PixelTargets, over: Over) -> ClassAreas:
    """Soft areas of each class over the labelled pixels.

    Args:
        probabilities: (B, K, H, W), softmax over the classes.
        targets: of the same images.
        over: sum over the pixels of each ``image`` (B regions) or of the whole ``batch`` (one region).
    """
    classes = probabilities.shape[1]
    labelled = targets.labelled[:, None].to(probabilities.dtype)
    truth = F.one_hot(targets.labels, classes).permute(0, 3, 1, 2) * labelled
    predicted = probabilities * labelled
    pixels = (2, 3) if over == "image" else (0, 2, 3)
    return ClassAreas(
        *(area.sum(dim=pixels).reshape(-1, classes) for area in (predicted * truth, predicted, truth))
    )


def dice_losses(areas: ClassAreas, smooth: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """One minus soft Dice, (I + smooth) / ((P + T) / 2 + smooth), averaged over the classes of each region.

    Classes without a labelled pixel in the region do not count.

    Args:
        areas: I, P and T of R regions.
        smooth: pixels added to numerator and denominator; 0 for none.
        weights: (K,) weights of the classes in the average; None: equal.

    Returns:
        (R,) in [0, 1]; 0 for a region without labelled pixels.
    """
    mean_area = (areas.predicted + areas.truth) / 2
    return _mean_of_present(1 - _soft_ratio(areas.intersection, mean_area, smooth), areas.truth, weights)


def jaccard_losses(areas: ClassAreas, smooth: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """One minus soft IoU (Jaccard), (I + smooth) / (P + T - I + smooth), averaged over the classes of each region; arguments
    and result as those of `dice_losses`.
    """
    union = areas.predicted + areas.truth - areas.intersection
    return _mean_of_present(1 - _soft_ratio(areas.intersection, union, smooth), areas.truth, weights)


def _soft_ratio(part: Tensor, whole: Tensor, smooth: float) -> Tensor:
    return (part + smooth) / (whole + smooth).clamp(min=1e-7)


def _mean_of_present(losses: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
    """(R,) weighted mean of `losses` (R, K) over the classes with an area in `truth` (R, K)."""
    share = (truth > 0).to(losses.dtype)
    if weights is not None:
        share = share * weights.to(losses)
    return (losses * share).sum(dim=1) / share.sum(dim=1).clamp(min=1e-7)
