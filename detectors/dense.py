"""The dense detector: backbone, neck, head and priors predict; assigner, coder and losses train them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from detectors.assigners.ignored_regions import ignore_background
from detectors.assigners.types import (
    Assigner,
    Assignment,
    PaddedTargets,
    Positives,
    Prediction,
    pad_targets,
)
from detectors.backbones import Backbone
from detectors.candidates import select_candidates, split_by_image
from detectors.coders import BoxCoder
from detectors.detector_config import DetectorConfig
from detectors.heads.dense import HeadOutput
from detectors.input_checks import require_images, require_targets
from detectors.losses.box import BoxLoss
from detectors.losses.classification import ClassLoss
from detectors.losses.quality import QualityLoss
from detectors.network import DetectorNetwork
from detectors.priors import GridPriors
from detectors.types import DenseOutput, Detections, LossSum, Targets, image_terms
from metrics.boxes import clip
from metrics.iou import aligned_box_iou


class DenseConfig(DetectorConfig):
    """Settings of all dense detectors."""

    box_weight: float = Field(default=1.0, ge=0)
    """Weight of the box loss relative to the class loss."""


class Supervision(NamedTuple):
    """What trains a class branch, and the boxes of the priors that are positive for it.

    Attributes:
        assigner: assigns an object or background to each prior.
        class_loss: defines the class channels, their scores and their loss.
        boxes: whether the losses of boxes and of their quality are those of this assigner's positives. It is true for one
            of two class branches with the same boxes.
    """

    assigner: Assigner
    class_loss: ClassLoss
    boxes: bool = True


class DenseDetector(DetectorNetwork):
    """A one-stage detector made of parts; a `detectors.types.Detector`.

    Args:
        config: settings of NMS, candidates and weights; a file of weights is loaded.
        num_classes: C.
        box_weight: weight of the box loss relative to the class loss.
        backbone: computes features from images.
        neck: computes the levels for the head from features; has `strides` and `channels`.
        head: computes logits, codes and quality from levels.
        priors: for the same levels.
        supervision: of the class branch that predicts.
        coder: encodes boxes relative to priors.
        box_loss: on codes or on boxes.
        quality_loss: of the head's quality branch; the score is the geometric mean of class score and quality.
        normalise: divide the losses by the positive priors of the ``batch``, or of each ``image`` and average.
        auxiliary: of the head's second class branch; see `DualHead`.
        box_weights: weight (P,) of the box loss of each positive prior, from the boxes (P, 4) of the assigned objects and
            the priors (P, 4); the box loss is divided by the sum of the weights. None: 1.
    """

    def __init__(
        self,
        config: DetectorConfig,
        num_classes: int,
        *,
        box_weight: float,
        backbone: Backbone,
        neck: nn.Module,
        head: nn.Module,
        priors: GridPriors,
        supervision: Supervision,
        coder: BoxCoder,
        box_loss: BoxLoss,
        quality_loss: QualityLoss | None = None,
        normalise: Literal["batch", "image"] = "batch",
        auxiliary: Supervision | None = None,
        box_weights: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(config, num_classes)
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.priors = priors
        self.supervision = supervision
        self.auxiliary = auxiliary
        self.coder = coder
        self.box_loss = box_loss
        self.quality_loss = quality_loss
        self.normalise = normalise
        self.box_weights = box_weights
        self.box_weight = box_weight
        self._complete(config)

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """Set the weights of the class loss before training; see `ClassWeightsConfig`.

        Args:
            counts: number of training objects of each of the C classes.
            names: of the classes.

        Raises:
            InputError: the settings have a weight for a class that is not in `names`.
        """
        weights = self._weights_of_classes(counts, names)
        for supervision in self._supervisions():
            supervision.class_loss.weights = weights

    def forward(self, images: Tensor) -> DenseOutput:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]; any H, W."""
        return self.output(self.levels(images), images)

    def levels(self, images: Tensor) -> Sequence[Tensor]:
        """Maps (B, channels, ...) that the head reads, finest first."""
        require_images(images)
        features: Sequence[Tensor] = self.neck(
            self.backbone(images.contiguous(memory_format=torch.channels_last))
        )
        return features

    def output(self, features: Sequence[Tensor], images: Tensor) -> DenseOutput:
        """Raw output of the head for the levels of these images."""
        head: HeadOutput = self.head(features)
        grids = [(feature.shape[2], feature.shape[3]) for feature in features]
        image_size = (images.shape[2], images.shape[3])
        priors = self.priors(grids, image_size, images.device)
        levels = tuple(
            rows * columns * n for (rows, columns), n in zip(grids, self.priors.per_cell, strict=True)
        )
        return DenseOutput(head.logits, head.codes, head.quality, priors, image_size, levels, head.auxiliary)

    def loss_sums(self, output: DenseOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """Sums of the losses ``class``, ``box`` and, with a quality branch, ``quality``, and the positives of each.

        Boxes without width or height and boxes with corners that are not finite are ignored. The loss of a batch without
        objects is finite. A second class branch adds ``auxiliary_class``.

        Raises:
            InputError: the number of `Targets` is not that of the images, or a label is outside [0, num_classes).
        """
        terms: dict[str, LossSum] = {}
        for branch in self._branches(output):
            terms |= self._loss_sums(branch, targets)
        return terms

    def _loss_sums(self, branch: _Branch, targets: list[Targets]) -> dict[str, LossSum]:
        """Terms of the loss of one class branch, and of the boxes if it trains them."""
        output, supervision = branch.output, branch.supervision
        logits, codes = output.logits.float(), output.codes.float()
        with torch.no_grad():
            truth, assignment, positives = self._assign(branch, targets, len(logits))
            image, prior, boxes = positives.image, positives.prior, positives.boxes
            priors = output.priors[prior]
        chosen = codes[image, prior]
        with torch.no_grad():
            decoded = self.coder.decode(chosen, priors)
            labels = assignment.labels(truth)
            quality = None
            if supervision.class_loss.soft:
                quality = _quality_targets(assignment, positives, decoded)
        terms = {f"{branch.prefix}class": supervision.class_loss(logits, labels, quality)}
        if supervision.boxes:
            per_box = self.box_loss(chosen, boxes, priors, self.coder)
            if positives.weights is not None:
                per_box = per_box * positives.weights
            terms["box"] = self.box_weight * _per_image(per_box, image, len(logits))
            if self.quality_loss is not None:
                assert output.quality is not None
                quality_logits = output.quality.float()[image, prior]
                per_box = self.quality_loss(quality_logits, decoded, boxes, priors)
                terms["quality"] = _per_image(per_box, image, len(logits))
        counts = self._counts(branch, assignment, positives)
        return {name: self._summed(term, counts[name]) for name, term in terms.items()}

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for (B, 3, H, W) images and their targets.

        If the assigner needs no prediction, they depend on the targets and the priors alone: a single image is predicted,
        for its priors.

        Raises:
            InputError: as `loss_sums`.
        """
        if any(each.assigner.needs_prediction for each in self._supervisions()):
            output = self(images)
        else:
            training = self.training
            output = self.eval()(images[:1])  # BatchNorm cannot train on a single image
            self.train(training)
        terms: dict[str, Tensor] = {}
        for branch in self._branches(output):
            _, assignment, positives = self._assign(branch, targets, len(images))
            counts = self._counts(branch, assignment, positives)
            terms |= {name: self._summed(count, count).normalizer for name, count in counts.items()}
        return terms

    @torch.no_grad()
    def decode(self, output: DenseOutput) -> list[Detections]:
        """Candidates of each image by decreasing score, clipped to the image; see `CandidatesConfig`."""
        chosen = select_candidates(
            self.scores(output), output.levels, self._score_threshold(), self.candidates
        )
        codes = output.codes[chosen.image, chosen.prior].float()
        boxes = clip(self.coder.decode(codes, output.priors[chosen.prior]), output.image_size)
        return split_by_image(chosen, boxes, len(output.codes))

    def _supervisions(self) -> list[Supervision]:
        return [self.supervision, *([] if self.auxiliary is None else [self.auxiliary])]

    @torch.no_grad()
    def _predicted_boxes(self, output: DenseOutput) -> Tensor | None:
        """Boxes (B, A, 4) for the assigners; None if none needs them."""
        if not any(each.assigner.needs_prediction for each in self._supervisions()):
            return None
        return self.coder.decode(output.codes.float(), output.priors)

    def _branches(self, output: DenseOutput) -> list[_Branch]:
        """Each class branch that was computed."""
        boxes = self._predicted_boxes(output)
        branches = [_Branch("", output, self.supervision, boxes)]
        if output.auxiliary is not None:
            assert self.auxiliary is not None
            second = output._replace(logits=output.auxiliary)
            branches.append(_Branch("auxiliary_", second, self.auxiliary, boxes))
        return branches

    def _assign(
        self, branch: _Branch, targets: list[Targets], images: int
    ) -> tuple[PaddedTargets, Assignment, Positives]:
        """Padded targets of a batch, their assignment, and the positive priors; without gradients.

        Only the priors of the output are used if the assigner needs no prediction.
        """
        require_targets(targets, images, self.num_classes)
        output, (assigner, class_loss, _) = branch.output, branch.supervision
        truth = pad_targets(targets, output.priors.device)
        prediction = None
        if assigner.needs_prediction:
            assert branch.boxes is not None
            prediction = Prediction(self._scores(output, class_loss), branch.boxes, output.image_size)
        assignment = assigner(truth, output.priors, output.levels, prediction)
        assignment = ignore_background(assignment, truth, output.priors, self.ignore_overlap)
        image, prior = (assignment.objects >= 0).nonzero(as_tuple=True)
        boxes = truth.boxes[image, assignment.objects[image, prior]]
        weights = None if assignment.scores is None else assignment.scores[image, prior]
        if self.box_weights is not None:
            own = self.box_weights(boxes, output.priors[prior])
            weights = own if weights is None else weights * own
        return truth, assignment, Positives(image, prior, boxes, weights)

    def _counts(self, branch: _Branch, assignment: Assignment, positives: Positives) -> dict[str, Tensor]:
        """Number of positives of each image, (B,), or the sum of their weights, for each term of `_loss_sums`."""
        each = (assignment.objects >= 0) if assignment.scores is None else assignment.scores
        counts = each.sum(dim=1)
        terms = {f"{branch.prefix}class": counts}
        if branch.supervision.boxes:
            weighted = counts
            if self.box_weights is not None and positives.weights is not None:
                weighted = _per_image(positives.weights, positives.image, len(counts))
            terms["box"] = weighted
            if self.quality_loss is not None:
                terms["quality"] = counts
        return terms

    def scores(self, output: DenseOutput) -> Tensor:
        """Scores (B, A, C) in [0, 1] of all priors: of the class, combined with the quality where there is one."""
        return self._scores(output, self.supervision.class_loss)

    def _scores(self, output: DenseOutput, class_loss: ClassLoss) -> Tensor:
        scores = class_loss.scores(output.logits.float())
        if output.quality is not None:
            scores = (scores * output.quality.float().sigmoid()[..., None]).sqrt()
        return scores

    def _summed(self, term: Tensor, counts: Tensor) -> LossSum:
        """Sum of the losses (B,) of the images, whose positives are `counts` (B,)."""
        each = image_terms(term, counts)
        if self.normalise == "image":
            return LossSum((term / counts.clamp(min=1)).sum(), counts.new_tensor(len(counts)), each)
        return LossSum(term.sum(), counts.sum(), each)


class _Branch(NamedTuple):
    """A class branch: its output and what trains it.

    Attributes:
        prefix: of the name of its class loss.
        output: with the logits of this branch.
        supervision: of this branch.
        boxes: (B, A, 4) of `output`, without gradients; None if no assigner needs them.
    """

    prefix: str
    output: DenseOutput
    supervision: Supervision
    boxes: Tensor | None


def _quality_targets(assignment: Assignment, positives: Positives, decoded: Tensor) -> Tensor:
    """(B, A) target scores of positive priors, 0 for others: the assigner's, or the IoU of the decoded boxes (P, 4)."""
    if assignment.scores is not None:
        return assignment.scores
    quality = torch.zeros(assignment.objects.shape, device=decoded.device)
    quality[positives.image, positives.prior] = aligned_box_iou(decoded, positives.boxes)
    return quality


def _per_image(per_box: Tensor, image: Tensor, images: int) -> Tensor:
    """(B,) sum of the losses (P,) of the positives of each image."""
    return per_box.new_zeros(images).index_add(0, image, per_box)
