"""Non-maximum suppression (NMS) of the candidates of one image."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detectors.candidates import by_falling_score
from detectors.config import Config
from detectors.search_range import Choice, OnlyIf, Range
from detectors.types import Detections
from metrics.iou import box_iou, distance_box_iou


class NMSConfig(Config):
    """Non-maximum suppression."""

    post_processing: ClassVar[bool] = True
    prediction_only: ClassVar[bool] = True

    score: Annotated[float, Field(ge=0, le=1), Range(0.001, 0.3, log=True)] = 0.01
    """Score threshold; candidates with this score or less are dropped. The same for all variants, because a higher one
    lowers average precision."""
    iou: Annotated[
        float,
        Field(ge=0, le=1),
        Range(0.3, 0.8),
        OnlyIf("nms.method", options=["hard", "diou", "soft_linear"]),
    ] = 0.5
    """IoU threshold; of two candidates with a higher IoU, the one with the lower score is suppressed (see `method`)."""
    method: Annotated[
        Literal["hard", "diou", "soft_linear", "soft_gaussian", "none"],
        Choice("hard", "diou", "soft_linear", "soft_gaussian", "none"),
    ] = "hard"
    """`hard`: drop it. `diou`: drop it by DIoU, which decreases with the distance of the centres (Zheng et al. 2020,
    section 3.4). `soft_linear`: multiply its score by 1 - IoU; `soft_gaussian`: multiply it by exp(-IoU^2 / sigma) at any
    IoU (Bodla et al. 2017, section 4). `none`: keep both, for detectors trained to detect each object once."""
    sigma: Annotated[float, Field(gt=0), Range(0.1, 1.0), OnlyIf("nms.method", options=["soft_gaussian"])] = (
        0.5
    )
    """soft_gaussian: width of the Gaussian."""
    agnostic: Annotated[
        bool,
        Choice(False, True),
        OnlyIf("nms.method", options=["hard", "diou", "soft_linear", "soft_gaussian"]),
    ] = False
    """Suppress across classes; otherwise within each class."""
    top_k: int = Field(default=5000, ge=1)
    """Largest number of candidates per image before NMS, by decreasing score."""
    max_dets: int = Field(default=100, ge=1)
    """Largest number of detections per image, by decreasing score."""


class NMS:
    """Greedy NMS of the candidates of one image, on their device and without a loop over boxes.

    Args:
        config: settings.
    """

    def __init__(self, config: NMSConfig) -> None:
        self.config = config

    def __call__(self, candidates: Detections) -> Detections:
        """Detections by decreasing score; candidates with equal scores keep their order."""
        boxes, scores, labels = _best(candidates, self.config.score, self.config.top_k)
        groups = torch.zeros_like(labels) if self.config.agnostic else labels
        if self.config.method.startswith("soft"):
            scores, keep = self._decay(boxes, scores, groups)
        else:
            keep = self._first(boxes, scores, groups)
        return Detections(boxes[keep], scores[keep], labels[keep])

    def _first(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Tensor:
        """Indices of the first `max_dets` boxes that are kept, best first.

        A box can only be suppressed by better ones, so a few of the best are processed first, and more if necessary.
        """
        limit = 4 * self.config.max_dets
        while True:
            keep = self._hard(boxes[:limit], scores[:limit], groups[:limit])
            if limit >= len(boxes) or len(keep) >= self.config.max_dets:
                return keep[: self.config.max_dets]
            limit *= 4

    def _hard(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Tensor:
        """Indices of the boxes that are kept, best first."""
        if self.config.method == "none":
            return torch.arange(len(boxes), device=boxes.device)
        if self.config.method == "diou":
            return _diou(boxes, groups, self.config.iou)
        if self.config.agnostic:
            across: Tensor = nms(boxes, scores, self.config.iou)
            return across
        if boxes.device.type == "cpu":
            return _class_by_class(boxes, scores, groups, self.config.iou)
        together: Tensor = batched_nms(boxes, scores, groups, self.config.iou)
        return together.sort().values

    def _decay(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Decayed scores of all boxes, and indices of those that stay above the threshold, best first.

        Each step depends on the boxes taken before, but classes are independent: a step takes the best box of every
        class, and at most `max_dets` steps matter.
        """
        places = _grouped(groups)  # (classes, most), -1 where there is none
        rest = torch.where(places >= 0, scores[places], -1.0)
        table, decayed = boxes[places], torch.zeros_like(scores)
        for step in range(min(self.config.max_dets, places.shape[1])):
            best, which = rest.max(dim=1, keepdim=True)
            if step % 16 == 15 and not (best > self.config.score).any():
                break
            taken = places.gather(1, which)
            # A class without remaining boxes writes to the index -1, which is removed.
            decayed = _put(decayed, torch.where(best > self.config.score, taken, -1), best)
            overlap = box_iou(boxes[taken], table).squeeze(1)
            rest = (rest * self._factor(overlap)).scatter(1, which, -1.0)
        order = decayed.sort(descending=True, stable=True)
        return decayed, order.indices[order.values > self.config.score][: self.config.max_dets]

    def _factor(self, overlap: Tensor) -> Tensor:
        if self.config.method == "soft_linear":
            return torch.where(overlap > self.config.iou, 1 - overlap, 1.0)
        # In double, so that `detectors.suppression` gets the same bits after rounding (MPS has no double).
        wide = overlap if overlap.device.type == "mps" else overlap.double()
        return torch.exp(-(wide**2) / self.config.sigma).to(overlap.dtype)


def _best(candidates: Detections, floor: float, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels above the threshold, sorted by decreasing score, at most `top_k`."""
    order = by_falling_score(candidates.scores)
    order = order[candidates.scores[order] > floor][:top_k]
    return candidates.boxes[order], candidates.scores[order], candidates.labels[order]


def _class_by_class(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Indices of the kept boxes, best first; the boxes are sorted by decreasing score.

    Differs from `torchvision.ops.batched_nms`: equal scores keep their order for any number of boxes, IoU is that of the
    unchanged boxes (not of boxes shifted by class, with rounding), and it is faster, because boxes are compared only
    within their class.
    """
    order = groups.argsort(stable=True)
    counts = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
    parts = zip(
        *(torch.split(column, counts) for column in (boxes[order], scores[order], order)), strict=True
    )
    stays = [places[nms(own, best, threshold)] for own, best, places in parts]
    return torch.cat([order[:0], *stays]).sort().values


def _grouped(groups: Tensor) -> Tensor:
    """(classes, largest class): indices of the members of each class in order, padded with -1."""
    _, group, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)
    first = counts.cumsum(0) - counts
    rank = torch.arange(len(groups), device=groups.device) - first[group[order]]
    most = int(counts.max()) if len(counts) else 0
    places = torch.full((len(counts), most), -1, device=groups.device)
    return places.index_put((group[order], rank), order)


def _put(scores: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """`scores` with `values` at the indices `places`; the index -1 is ignored."""
    return torch.cat([scores, scores.new_zeros(1)]).index_put((places.flatten(),), values.flatten())[:-1]


def _diou(boxes: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Indices of the kept boxes by DIoU; the boxes are sorted by decreasing score.

    Box j is kept if no better kept box overlaps it too much. Applied to all boxes at once until the result is stable,
    this is greedy NMS, in as many rounds as the longest chain of boxes that depend on each other (cluster NMS, Zheng et
    al. 2021).
    """
    places = _grouped(groups)
    table = boxes[places]
    # Row i suppresses column j if it is better (the groups are sorted), of the same class, and overlaps it too much.
    suppresses = (distance_box_iou(table, table) > threshold).triu(diagonal=1)
    suppresses &= (places >= 0)[:, :, None] & (places >= 0)[:, None, :]
    stays = places >= 0
    while True:
        kept = ~(suppresses & stays[:, :, None]).any(dim=1) & (places >= 0)
        if kept.equal(stays):
            return places[stays].sort().values
        stays = kept
