"""Assignment by IoU of prior and object: SSD, RetinaNet, region proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND, IGNORE, Assignment, PaddedTargets, Prediction
from metrics.iou import box_iou

Forced = Literal["none", "own", "tied"]

_MAX_TABLE = 2**26
"""Largest number of IoU values that are computed together."""


class OverlapAssigner:
    """A prior is assigned to the object with the highest IoU, if the IoU is high enough.

    Args:
        positive: smallest IoU of a positive prior; 0.5 in SSD and RetinaNet, 0.7 in RPN.
        negative: a prior with an IoU below this is background, between the two it is ignored; 0.5, 0.4, 0.3.
        forced: additional positives at any IoU above 0. ``own``: the best prior of each object, even if another object
            has it (SSD, section 2.2); of two objects with the same best prior, the later one gets it. ``tied``: all
            priors with the highest IoU of an object, each for the object with which its own IoU is highest (RPN).
            ``none``: no additional ones.
    """

    needs_prediction = False

    def __init__(self, positive: float = 0.5, negative: float = 0.5, forced: Forced = "own") -> None:
        if negative > positive:
            raise ValueError(f"negative: {negative} is above positive {positive}; expected at most that")
        self.positive = positive
        self.negative = negative
        self.forced = forced

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`; `priors` can also be (B, A, 4), own ones of each image.

        Images are processed together, unless the table of IoU values would be too large.
        """
        images, objects = truth.valid.shape
        chunk = max(1, _MAX_TABLE // max(1, objects * priors.shape[-2]))
        parts = []
        for start in range(0, images, chunk):
            rows = slice(start, start + chunk)
            own = priors if priors.ndim == 2 else priors[rows]
            parts.append(self._assign(truth.of_images(rows), own))
        return Assignment(torch.cat(parts))

    def _assign(self, truth: PaddedTargets, priors: Tensor) -> Tensor:
        iou = torch.where(truth.valid[..., None], box_iou(truth.boxes, priors), -1.0)
        best, objects = iou.max(dim=1)
        assigned = torch.where(best >= self.positive, objects, IGNORE)
        assigned = torch.where(best < self.negative, BACKGROUND, assigned)
        if self.forced == "own":
            reached, prior = iou.max(dim=2)
            number = torch.arange(iou.shape[1], device=iou.device).expand_as(prior)
            claim = torch.where(reached > 0, number, BACKGROUND)
            owner = torch.full_like(assigned, BACKGROUND).scatter_reduce(1, prior, claim, "amax")
            assigned = torch.where(owner >= 0, owner, assigned)
        elif self.forced == "tied":
            reached = iou.amax(dim=2, keepdim=True)
            tied = ((iou == reached) & (reached > 0)).any(dim=1)
            assigned = torch.where(tied, objects, assigned)
        return assigned
