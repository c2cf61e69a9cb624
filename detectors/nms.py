"""Suppression: from the many candidates around each object to one detection."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detectors.candidates import by_falling_score
from detectors.config import Config
from detectors.search_range import Choice, Range
from detectors.types import Detections
from metrics.iou import box_iou, distance_box_iou


class NMSConfig(Config):
    """How candidates become detections."""

    post_processing: ClassVar[bool] = True

    score: Annotated[float, Field(ge=0, le=1), Range(0.001, 0.3, log=True)] = 0.05
    """Candidates that score no more than this are dropped."""
    iou: Annotated[float, Field(ge=0, le=1), Range(0.3, 0.8)] = 0.5
    """Of two candidates that overlap more than this, the one with the lower score goes (or fades: see `method`)."""
    method: Annotated[
        Literal["hard", "diou", "soft_linear", "soft_gaussian"],
        Choice("hard", "diou", "soft_linear", "soft_gaussian"),
    ] = "hard"
    """`hard`: it goes. `diou`: the same, but IoU counts less the farther apart the centres are (Zheng et al. 2020,
    section 3.4). `soft_linear`: its score is multiplied by 1 - IoU; `soft_gaussian`: any overlap multiplies it by
    exp(-IoU^2 / sigma) (Bodla et al. 2017, section 4)."""
    sigma: Annotated[float, Field(gt=0), Range(0.1, 1.0)] = 0.5
    """Width of soft_gaussian."""
    agnostic: Annotated[bool, Choice(False, True)] = False
    """Suppress across classes; off: each class on its own."""
    top_k: int = Field(default=5000, ge=1)
    """At most so many candidates of an image enter, the best first."""
    max_dets: int = Field(default=100, ge=1)
    """At most so many detections of an image come out, the best first."""


class NMS:
    """Greedy suppression of the candidates of one image, on their device and without a loop over boxes.

    Args:
        config: its settings, also at hand as `config`.
    """

    def __init__(self, config: NMSConfig) -> None:
        self.config = config

    def __call__(self, candidates: Detections) -> Detections:
        """Detections in order of falling score; candidates of equal score keep their order."""
        boxes, scores, labels = _best(candidates, self.config.score, self.config.top_k)
        groups = torch.zeros_like(labels) if self.config.agnostic else labels
        if self.config.method.startswith("soft"):
            scores, keep = self._fade(boxes, scores, groups)
        else:
            keep = self._first(boxes, scores, groups)
        return Detections(boxes[keep], scores[keep], labels[keep])

    def _first(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Tensor:
        """Places of the first `max_dets` that stay, best first.

        Who stays depends on better ones only, so that a few of the best are looked at first, and more if need be.
        """
        seen = 4 * self.config.max_dets
        while True:
            keep = self._hard(boxes[:seen], scores[:seen], groups[:seen])
            if seen >= len(boxes) or len(keep) >= self.config.max_dets:
                return keep[: self.config.max_dets]
            seen *= 4

    def _hard(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Tensor:
        """Places of what stays, best first."""
        if self.config.method == "diou":
            return _diou(boxes, groups, self.config.iou)
        if self.config.agnostic:
            across: Tensor = nms(boxes, scores, self.config.iou)
            return across
        if boxes.device.type == "cpu":
            return _class_by_class(boxes, scores, groups, self.config.iou)
        together: Tensor = batched_nms(boxes, scores, groups, self.config.iou)
        return together.sort().values

    def _fade(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Faded scores of all, and the places of those that stay above the floor, best first.

        Suppression is a sequence: who fades next depends on who was taken before. But classes do not depend on each
        other, so that a step takes the best of every class at once, and no more steps than `max_dets` matter.
        """
        places = _grouped(groups)  # (classes, most), -1 where there is none
        rest = torch.where(places >= 0, scores[places], -1.0)
        table, faded = boxes[places], torch.zeros_like(scores)
        for step in range(min(self.config.max_dets, places.shape[1])):
            best, which = rest.max(dim=1, keepdim=True)
            if step % 16 == 15 and not (best > self.config.score).any():
                break
            taken = places.gather(1, which)
            # A class with nothing left to take writes to the place -1, which is cut off.
            faded = _put(faded, torch.where(best > self.config.score, taken, -1), best)
            overlap = box_iou(boxes[taken], table).squeeze(1)
            rest = (rest * self._factor(overlap)).scatter(1, which, -1.0)
        order = faded.sort(descending=True, stable=True)
        return faded, order.indices[order.values > self.config.score][: self.config.max_dets]

    def _factor(self, overlap: Tensor) -> Tensor:
        if self.config.method == "soft_linear":
            return torch.where(overlap > self.config.iou, 1 - overlap, 1.0)
        # In double, so that whoever computes it elsewhere has the same bits when it is rounded (MPS has no double).
        wide = overlap if overlap.device.type == "mps" else overlap.double()
        return torch.exp(-(wide**2) / self.config.sigma).to(overlap.dtype)


def _best(candidates: Detections, floor: float, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels above the floor, sorted by falling score, at most `top_k`."""
    order = by_falling_score(candidates.scores)
    order = order[candidates.scores[order] > floor][:top_k]
    return candidates.boxes[order], candidates.scores[order], candidates.labels[order]


def _class_by_class(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Places of what stays of boxes sorted by falling score, best first.

    What `torchvision.ops.batched_nms` finds, but equal scores keep their order however many boxes there are, overlaps
    are those of the boxes as they are (there those of boxes moved apart, and rounded), and the time is less: boxes
    meet none of another class, nor are all of them searched for each class.
    """
    order = groups.argsort(stable=True)
    counts = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
    parts = zip(
        *(torch.split(column, counts) for column in (boxes[order], scores[order], order)), strict=True
    )
    stays = [places[nms(own, best, threshold)] for own, best, places in parts]
    return torch.cat([order[:0], *stays]).sort().values


def _grouped(groups: Tensor) -> Tensor:
    """(classes, most): the places of each class's members in their order, filled up with -1."""
    _, group, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)
    first = counts.cumsum(0) - counts
    rank = torch.arange(len(groups), device=groups.device) - first[group[order]]
    most = int(counts.max()) if len(counts) else 0
    places = torch.full((len(counts), most), -1, device=groups.device)
    return places.index_put((group[order], rank), order)


def _put(scores: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """`scores` with `values` at `places`, but for the place -1."""
    return torch.cat([scores, scores.new_zeros(1)]).index_put((places.flatten(),), values.flatten())[:-1]


def _diou(boxes: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Places of what stays of boxes sorted by falling score, where DIoU is the overlap.

    Box j stays if no better box that stays overlaps it too much. Said of all boxes at once and again until nothing
    changes, this is the greedy result, after as many rounds as the longest chain of boxes that decide on each other
    (cluster NMS, Zheng et al. 2021).
    """
    places = _grouped(groups)
    table = boxes[places]
    # Row i strikes column j: better (the groups are sorted), of the same class, and too near.
    strikes = (distance_box_iou(table, table) > threshold).triu(diagonal=1)
    strikes &= (places >= 0)[:, :, None] & (places >= 0)[:, None, :]
    stays = places >= 0
    while True:
        now = ~(strikes & stays[:, :, None]).any(dim=1) & (places >= 0)
        if now.equal(stays):
            return places[stays].sort().values
        stays = now
