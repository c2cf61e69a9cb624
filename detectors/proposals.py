"""Region proposals: the first stage of two-stage detectors, which finds objects of any class on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import batched_nms

from detectors.assigners.ignored_regions import ignore_background
from detectors.assigners.overlap import OverlapAssigner
from detectors.assigners.sampling import BalancedSampler
from detectors.assigners.types import PaddedTargets
from detectors.candidates import CandidatesConfig, select_candidates
from detectors.coders import DeltaCoder
from detectors.config import Config
from detectors.heads.dense import HeadOutput, ProposalHead
from detectors.losses.box import SmoothL1Loss
from detectors.losses.classification import BinaryCrossEntropyLoss
from detectors.priors import GridPriors
from detectors.region_losses import RegionLosses, image_terms_of_regions
from detectors.search_range import Choice, Range
from detectors.types import DenseOutput, LossSum
from metrics.boxes import clip

MIN_SIDE = 1e-3
"""In pixels; smaller proposals are dropped."""


class ProposalConfig(Config):
    """Region proposals. Numbers of the papers are for images of 800 x 1333 pixels; the defaults are for small ones."""

    convs: Annotated[int, Field(ge=1, le=4), Choice(1, 2)] = 1
    """Convolutions in the head's tower."""
    positive: Annotated[float, Field(ge=0, le=1), Range(0.5, 0.8)] = 0.7
    """Smallest IoU of a positive anchor; the best anchors of each object are positive too."""
    negative: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.5)] = 0.3
    """Anchors with a lower IoU are background; those between the two are ignored."""
    samples: Annotated[int, Field(ge=1), Choice(64, 128, 256)] = 256
    """Anchors of an image that are drawn for the loss, at most half of them positive."""
    iou: Annotated[float, Field(ge=0, le=1), Range(0.5, 0.9)] = 0.7
    """IoU threshold of the NMS of proposals, level by level."""
    training: Annotated[int, Field(ge=1), Choice(250, 500, 1000)] = 500
    """Proposals in training: of each level before NMS, and of an image after it; 2000 in the paper."""
    prediction: Annotated[int, Field(ge=1), Choice(100, 200, 300)] = 200
    """The same in prediction; 300 in Faster R-CNN, 1000 in FPN."""

    @model_validator(mode="after")
    def _ordered(self) -> ProposalConfig:
        if self.negative > self.positive:
            raise ValueError(
                f"negative: {self.negative} is above positive {self.positive}; expected at most that"
            )
        return self


class Regions(NamedTuple):
    """Regions of B images, padded to the largest number N.

    Attributes:
        boxes: (B, N, 4) xyxy in pixels of the network's input.
        valid: (B, N) False for padding, and for regions that were not drawn.
    """

    boxes: Tensor
    valid: Tensor


def pad_regions(boxes: Sequence[Tensor]) -> Regions:
    """Regions of a batch from the boxes (n, 4) of each image; N is the largest n."""
    valid = [torch.ones(len(each), dtype=torch.bool, device=each.device) for each in boxes]
    return Regions(pad_sequence(list(boxes), batch_first=True), pad_sequence(valid, batch_first=True))


class ProposalNetwork(nn.Module):
    """Predicts objectness and a box for every anchor, and selects proposals (Ren et al. 2015, section 3.1).

    Args:
        config: settings.
        head: computes logits of objectness and codes from levels.
        priors: anchors for the same levels.
        ignore_overlap: see `detectors.assigners.ignored_regions`.
    """

    def __init__(
        self, config: ProposalConfig, head: ProposalHead, priors: GridPriors, ignore_overlap: float = 1.0
    ) -> None:
        super().__init__()
        self.config = config
        self.head = head
        self.priors = priors
        self.ignore_overlap = ignore_overlap
        self.assigner = OverlapAssigner(config.positive, config.negative, "tied")
        self.sampler = BalancedSampler(config.samples, 0.5)
        self.coder = DeltaCoder()
        self.class_loss = BinaryCrossEntropyLoss()
        self.box_loss = SmoothL1Loss(beta=1 / 9)

    def forward(self, features: Sequence[Tensor], image_size: tuple[int, int]) -> DenseOutput:
        """Raw output with one class channel for levels (B, channels, ...) of images of (height, width)."""
        head: HeadOutput = self.head(features)
        grids = [(feature.shape[2], feature.shape[3]) for feature in features]
        priors = self.priors(grids, image_size, head.logits.device)
        levels = tuple(
            rows * columns * each for (rows, columns), each in zip(grids, self.priors.per_cell, strict=True)
        )
        return DenseOutput(head.logits, head.codes, None, priors, image_size, levels)

    def loss_sums(self, output: DenseOutput, truth: PaddedTargets) -> dict[str, LossSum]:
        """Sums of the losses ``objectness`` and ``proposal_box`` over the drawn anchors; both have their number."""
        with torch.no_grad():
            objects = self._assign(output, truth)
            image, prior = self.sampler(objects).nonzero(as_tuple=True)
            chosen = objects[image, prior]
            found = chosen >= 0
            boxes = truth.boxes[image[found], chosen[found]]
            priors = output.priors[prior[found]]
        count = torch.tensor(len(image), device=image.device)
        logits = output.logits[image, prior].float()
        codes = output.codes[image[found], prior[found]].float()
        labels = chosen.clamp(max=0)
        objectness = self.class_loss(logits[None], labels[None]).sum()
        per_box = self.box_loss(codes, boxes, priors, self.coder)
        counts = image.bincount(minlength=len(output.logits))
        drawn = RegionLosses(1.0, logits.detach(), labels, per_box.detach(), image[found])
        class_each, box_each = image_terms_of_regions([drawn], self.class_loss, counts)
        return {
            "objectness": LossSum(objectness, count, class_each),
            "proposal_box": LossSum(per_box.sum(), count, box_each),
        }

    def normalizer(self, output: DenseOutput, truth: PaddedTargets) -> Tensor:
        """Normalizer of both losses: the number of anchors that are drawn, which the draw does not change."""
        found, background = self.sampler.counts(self._assign(output, truth))
        return found.sum() + background.sum()

    @torch.no_grad()
    def select(self, output: DenseOutput, top: int) -> Regions:
        """The best proposals of each image after NMS within each level, by decreasing objectness.

        Args:
            output: raw output.
            top: largest number of proposals of each level before NMS, and of an image after it.
        """
        scores = self.class_loss.scores(output.logits.float())
        best = select_candidates(
            scores, output.levels, 0.0, CandidatesConfig(score=0.0, top_k=top, per="level")
        )
        codes = output.codes[best.image, best.prior].float()
        boxes = clip(self.coder.decode(codes, output.priors[best.prior]), output.image_size)
        ends = torch.tensor(output.levels, device=boxes.device).cumsum(0)
        level = torch.bucketize(best.prior, ends, right=True)
        counts = best.image.bincount(minlength=len(scores)).tolist()
        parts = zip(*(torch.split(column, counts) for column in (boxes, best.score, level)), strict=True)
        return pad_regions([self._suppress(*part)[:top] for part in parts])

    def _assign(self, output: DenseOutput, truth: PaddedTargets) -> Tensor:
        """(B, A) object of each anchor; see `Assignment`."""
        assignment = self.assigner(truth, output.priors, output.levels)
        return ignore_background(assignment, truth, output.priors, self.ignore_overlap).objects

    def _suppress(self, boxes: Tensor, scores: Tensor, level: Tensor) -> Tensor:
        sized = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(dim=1)
        boxes, scores, level = boxes[sized], scores[sized], level[sized]
        return boxes[batched_nms(boxes, scores, level, self.config.iou)]
