"""Two-stage detectors: region proposals, then one or several heads on the pooled features of each region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detectors.assigners.ignored_regions import ignore_background
from detectors.assigners.overlap import OverlapAssigner
from detectors.assigners.sampling import BalancedSampler
from detectors.assigners.types import IGNORE, Assignment, PaddedTargets, pad_targets
from detectors.backbones import Backbone
from detectors.candidates import select_candidates, split_by_image
from detectors.coders import BoxCoder
from detectors.detector_config import DetectorConfig
from detectors.heads.roi import PyramidRoIAlign, RoIHead
from detectors.input_checks import require_images, require_targets
from detectors.losses.box import BoxLoss
from detectors.losses.classification import ClassLoss
from detectors.network import DetectorNetwork
from detectors.priors import GridPriors
from detectors.proposals import ProposalNetwork, Regions, pad_regions
from detectors.region_losses import RegionLosses, image_terms_of_regions
from detectors.types import Detections, LossSum, Targets, TwoStageOutput
from metrics.boxes import clip


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What a head on regions is trained for.

    Attributes:
        assigner: assigns an object or background to each region.
        coder: encodes boxes relative to regions.
        weight: of its losses.
    """

    assigner: OverlapAssigner
    coder: BoxCoder
    weight: float = 1.0


class TwoStageDetector(DetectorNetwork):
    """Proposals and heads on regions; a `detectors.types.Detector`.

    One head makes a Faster R-CNN. With several heads, a cascade, each head receives the boxes of the one before
    (Cai and Vasconcelos 2018, section 4): the scores are the mean over the heads, the boxes are those of the last one.

    Args:
        config: settings of NMS, candidates and weights; a file of weights is loaded.
        num_classes: C.
        backbone: computes features from images.
        neck: computes the levels from features; has `strides` and `channels`.
        proposals: the first stage, on all levels.
        pool: pools features of regions from the first levels.
        heads: on the pooled features, in their order.
        stages: of the heads; the coder is that of the head's codes.
        sampler: draws regions of each image for the losses.
        class_loss: defines the class channels, their scores and their loss.
        box_loss: on codes or on boxes.
        box_weight: weight of the box loss of the heads.
    """

    def __init__(
        self,
        config: DetectorConfig,
        num_classes: int,
        *,
        backbone: Backbone,
        neck: nn.Module,
        proposals: ProposalNetwork,
        pool: PyramidRoIAlign,
        heads: Sequence[RoIHead],
        stages: Sequence[Stage],
        sampler: BalancedSampler,
        class_loss: ClassLoss,
        box_loss: BoxLoss,
        box_weight: float = 1.0,
    ) -> None:
        super().__init__(config, num_classes)
        self.backbone = backbone
        self.neck = neck
        self.proposals = proposals
        self.pool = pool
        self.heads = nn.ModuleList(heads)
        self.stages = tuple(stages)
        self.sampler = sampler
        self.class_loss = class_loss
        self.box_loss = box_loss
        self.box_weight = box_weight
        self._complete(config)

    @property
    def priors(self) -> GridPriors:
        """Anchors of the proposals."""
        return self.proposals.priors

    @property
    def assigner(self) -> OverlapAssigner:
        """Assigner of the anchors."""
        return self.proposals.assigner

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """Set the weights of the heads' class loss before training; see `DenseDetector.weigh_classes`."""
        self.class_loss.weights = self._weights_of_classes(counts, names)

    def forward(self, images: Tensor) -> TwoStageOutput:
        """Features and raw proposals for (B, 3, H, W) RGB images, float32 in [0, 1]; any H, W."""
        require_images(images)
        features = self.neck(self.backbone(images.contiguous(memory_format=torch.channels_last)))
        proposals = self.proposals(features, (images.shape[2], images.shape[3]))
        return TwoStageOutput(tuple(features[: len(self.pool.strides)]), proposals)

    def loss_sums(self, output: TwoStageOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """Sums of the losses ``class`` and ``box`` of the heads, and ``objectness`` and ``proposal_box`` of the proposals.

        They are divided by the number of drawn regions and anchors. Which ones are drawn is random; their number is not.
        Boxes without width or height and boxes with corners that are not finite are ignored. The loss of a batch without
        objects is finite.

        Raises:
            InputError: the number of `Targets` is not that of the images, or a label is outside [0, num_classes).
        """
        truth = self._truth(output, targets)
        own = self.proposals.loss_sums(output.proposals, truth)
        with torch.no_grad():
            regions = self._regions(output, truth)
            assignment = self._assign(self.stages[0], regions, truth)
            drawn = self.sampler(assignment.objects)
        regions = Regions(regions.boxes, drawn)
        class_sum = box_sum = torch.zeros((), device=drawn.device)
        computed: list[RegionLosses] = []
        for number, stage in enumerate(self.stages):
            if number:
                assignment = self._assign(stage, regions, truth)
            logits, codes = self._head(number, output, regions)
            image, _ = drawn.nonzero(as_tuple=True)
            objects, labels = assignment.objects[drawn], assignment.labels(truth)[drawn]
            found = objects >= 0
            boxes = truth.boxes[image[found], objects[found]]
            chosen = _of_class(codes[found], labels[found])
            losses = self.box_loss(chosen, boxes, regions.boxes[drawn][found], stage.coder)
            class_sum = class_sum + stage.weight * self.class_loss(logits[None], labels[None]).sum()
            box_sum = box_sum + stage.weight * losses.sum()
            computed.append(
                RegionLosses(stage.weight, logits.detach(), labels, losses.detach(), image[found])
            )
            if number + 1 < len(self.stages):
                regions = self._refined(output, regions, codes, stage)
        count = drawn.sum()
        class_each, box_each = image_terms_of_regions(
            computed, self.class_loss, drawn.sum(dim=1), self.box_weight
        )
        terms = {
            "class": LossSum(class_sum, count, class_each),
            "box": LossSum(self.box_weight * box_sum, count, box_each),
        }
        return {**terms, **own}

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for (B, 3, H, W) images and their targets.

        Raises:
            InputError: as `loss_sums`.
        """
        output = self(images)
        truth = self._truth(output, targets)
        assignment = self._assign(self.stages[0], self._regions(output, truth), truth)
        found, background = self.sampler.counts(assignment.objects)
        regions, anchors = found.sum() + background.sum(), self.proposals.normalizer(output.proposals, truth)
        return {"class": regions, "box": regions, "objectness": anchors, "proposal_box": anchors}

    @torch.no_grad()
    def decode(self, output: TwoStageOutput) -> list[Detections]:
        """Candidates of each image by decreasing score, clipped to the image; see `CandidatesConfig`.

        The regions of an image are one level.
        """
        regions = self.proposals.select(output.proposals, self.proposals.config.prediction)
        scores = regions.boxes.new_zeros(*regions.valid.shape, self.num_classes)
        for number, stage in enumerate(self.stages):
            logits, codes = self._head(number, output, regions)
            scores[regions.valid] += self.class_loss.scores(logits) / len(self.stages)
            if number + 1 < len(self.stages):
                regions = self._refined(output, regions, codes, stage)
        floor = self._score_threshold()
        chosen = select_candidates(scores, (scores.shape[1],), floor, self.candidates)
        row = regions.valid.flatten().cumsum(0).sub(1).view_as(regions.valid)[chosen.image, chosen.prior]
        of_class = _of_class(codes[row], chosen.label)
        boxes = stage.coder.decode(of_class, regions.boxes[chosen.image, chosen.prior])
        boxes = clip(boxes, output.proposals.image_size)
        return split_by_image(chosen, boxes, len(scores))

    def _truth(self, output: TwoStageOutput, targets: list[Targets]) -> PaddedTargets:
        require_targets(targets, len(output.proposals.logits), self.num_classes)
        return pad_targets(targets, output.proposals.priors.device)

    def _regions(self, output: TwoStageOutput, truth: PaddedTargets) -> Regions:
        """Proposals in training, and the objects themselves, so that there are positives from the start."""
        proposals = self.proposals.select(output.proposals, self.proposals.config.training)
        images = zip(*proposals, truth.boxes, truth.valid, strict=True)
        return pad_regions([torch.cat([boxes[of], objects[real]]) for boxes, of, objects, real in images])

    def _assign(self, stage: Stage, regions: Regions, truth: PaddedTargets) -> Assignment:
        """Object of each region (B, N); regions that are not valid are ignored."""
        assignment = stage.assigner(truth, regions.boxes, (regions.boxes.shape[1],))
        objects = ignore_background(assignment, truth, regions.boxes, self.ignore_overlap).objects
        return Assignment(torch.where(regions.valid, objects, IGNORE))

    def _head(self, number: int, output: TwoStageOutput, regions: Regions) -> tuple[Tensor, Tensor]:
        """Logits (K, channels) and codes (K, boxes, 4), float32, of the K valid regions, image by image."""
        dtype = next(
            self.heads.parameters()
        ).dtype  # features of mixed precision are pooled in full precision
        image, _ = regions.valid.nonzero(as_tuple=True)
        features = [feature.to(dtype) for feature in output.features]
        logits, codes = self.heads[number](self.pool(features, image, regions.boxes[regions.valid]))
        return logits.float(), codes.float()

    def _refined(self, output: TwoStageOutput, regions: Regions, codes: Tensor, stage: Stage) -> Regions:
        """The valid regions with the boxes of their codes (K, 1, 4), without gradients."""
        boxes = stage.coder.decode(codes.detach()[:, 0], regions.boxes[regions.valid])
        refined = regions.boxes.clone()
        refined[regions.valid] = clip(boxes, output.proposals.image_size)
        return Regions(refined, regions.valid)


def _of_class(codes: Tensor, labels: Tensor) -> Tensor:
    """(K, 4) codes for labels (K,) from codes (K, boxes, 4), which are those of each class or a single one."""
    return codes[torch.arange(len(codes), device=codes.device), labels if codes.shape[1] > 1 else 0]
