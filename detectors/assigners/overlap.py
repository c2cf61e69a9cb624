"""Assignment by overlap of prior and object: SSD, RetinaNet, region proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND, IGNORE, Assignment, PaddedTargets, Prediction
from metrics.iou import box_iou

Forced = Literal["none", "own", "tied"]

_LARGEST_TABLE = 2**26


class OverlapAssigner:
    """A prior must find the object that it overlaps most, if it overlaps it enough.

    Args:
        positive: IoU from which on a prior must find its object. 0.5 in SSD and RetinaNet, 0.7 in RPN.
        negative: IoU below which a prior is background; between the two it is ignored. 0.5, 0.4, 0.3.
        forced: what else an object gets, however poor the overlap (but never priors that do not touch it).
            ``own``: its best prior, taken from any other object (SSD, section 2.2); where two objects share
            their best prior, the later object has it. ``tied``: all its equally best priors are positive,
            but each for the object that it overlaps most itself (RPN). ``none``: nothing.
    """

    listens = False

    def __init__(self, positive: float = 0.5, negative: float = 0.5, forced: Forced = "own") -> None:
        if negative > positive:
            raise ValueError(f"negative: {negative} is above positive {positive}; it must not be")
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
        """See `Assigner`. All images at once, unless the table of overlaps would be very large."""
        images, objects = truth.valid.shape
        at_once = max(1, _LARGEST_TABLE // (objects * len(priors)))
        starts = range(0, images, at_once)
        parts = [PaddedTargets(*(part[start : start + at_once] for part in truth)) for start in starts]
        return Assignment(torch.cat([self._verdicts(part, priors) for part in parts]))

    def _verdicts(self, truth: PaddedTargets, priors: Tensor) -> Tensor:
        iou = torch.where(truth.valid[..., None], box_iou(truth.boxes, priors), -1.0)
        best, objects = iou.max(dim=1)
        verdicts = torch.where(best >= self.positive, objects, IGNORE)
        verdicts = torch.where(best < self.negative, BACKGROUND, verdicts)
        if self.forced == "own":
            reached, prior = iou.max(dim=2)
            number = torch.arange(iou.shape[1], device=iou.device).expand_as(prior)
            claim = torch.where(reached > 0, number, BACKGROUND)
            owner = torch.full_like(verdicts, BACKGROUND).scatter_reduce(1, prior, claim, "amax")
            verdicts = torch.where(owner >= 0, owner, verdicts)
        elif self.forced == "tied":
            reached = iou.amax(dim=2, keepdim=True)
            tied = ((iou == reached) & (reached > 0)).any(dim=1)
            verdicts = torch.where(tied, objects, verdicts)
        return verdicts
