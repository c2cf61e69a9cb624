"""The dense detector: backbone, neck, head and priors predict; assigner, coder and losses train them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar

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

T = TypeVar("T")


class DenseConfig(DetectorConfig):
    """Settings of all dense detectors."""

    box_weight: float = Field(default=1.0, ge=0)
    """Weight of the box loss relative to the class loss."""


class Supervision(NamedTuple):
    """What trains the class scores of a head.

    Attributes:
        assigner: assigns an object or background to each prior.
        class_loss: defines the class channels, their scores and their loss.
    """

    assigner: Assigner
    class_loss: ClassLoss


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
        assigner: assigns an object or background to each prior.
        coder: encodes boxes relative to priors.
        class_loss: defines the class channels, their scores and their loss.
        box_loss: on codes or on boxes.
        quality_loss: of the head's quality branch; the score is the geometric mean of class score and quality.
        normalise: divide the losses by the positive priors of the ``batch``, or of each ``image`` and average.
        auxiliary: assigner and class loss of the head's auxiliary output, whose other losses are the same; see `DualHead`.
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
        assigner: Assigner,
        coder: BoxCoder,
        class_loss: ClassLoss,
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
        self.assigner = assigner
        self.class_loss = class_loss
        self.auxiliary = auxiliary
        self.coder = coder
        self.box_loss = box_loss
        self.quality_loss = quality_loss
        self.normalise = normalise
        self.box_weights = box_weights
        self.box_weight = box_weight
        self._complete(config)

    @property
    def supervision(self) -> Supervision:
        """What trains the head that predicts."""
        return Supervision(self.assigner, self.class_loss)

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """Set the weights of the class loss before training; see `ClassWeightsConfig`.

        Args:
            counts: number of training objects of each of the C classes.
            names: of the classes.

        Raises:
            InputError: the settings have a weight for a class that is not in `names`.
        """
        weights = self._weights_of_classes(counts, names)
        for supervision in (self.supervision, self.auxiliary):
            if supervision is not None:
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
        output = DenseOutput(head.logits, head.codes, head.quality, priors, image_size, levels)
        if head.auxiliary is None:
            return output
        logits, codes, quality, _ = head.auxiliary
        return output._replace(auxiliary=output._replace(logits=logits, codes=codes, quality=quality))

    def loss_sums(self, output: DenseOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """Sums of the losses ``class``, ``box`` and, with a quality branch, ``quality``, and the positives of each.

        Boxes without width or height and boxes with corners that are not finite are ignored. The loss of a batch without
        objects is finite. The terms of an auxiliary output have the same names with the prefix ``auxiliary_``.

        Raises:
            InputError: the number of `Targets` is not that of the images, or a label is outside [0, num_classes).
        """
        return _by_head(self._loss_sums(each, targets, how) for each, how in self._heads(output))

    def _loss_sums(
        self, output: DenseOutput, targets: list[Targets], supervision: Supervision
    ) -> dict[str, LossSum]:
        """Terms of the loss of one head."""
        logits, codes = output.logits.float(), output.codes.float()
        with torch.no_grad():
            truth, assignment, positives = self._assign(output, targets, supervision, len(logits))
            image, prior, boxes = positives.image, positives.prior, positives.boxes
            priors = output.priors[prior]
        chosen = codes[image, prior]
        with torch.no_grad():
            decoded = self.coder.decode(chosen, priors)
            labels = assignment.labels(truth)
            quality = None
            if supervision.class_loss.soft:
                quality = _quality_targets(assignment, positives, decoded)
        per_box = self.box_loss(chosen, boxes, priors, self.coder)
        if positives.weights is not None:
            per_box = per_box * positives.weights
        terms = {
            "class": supervision.class_loss(logits, labels, quality),
            "box": self.box_weight * _per_image(per_box, image, len(logits)),
        }
        if self.quality_loss is not None:
            assert output.quality is not None
            quality_logits = output.quality.float()[image, prior]
            per_box = self.quality_loss(quality_logits, decoded, boxes, priors)
            terms["quality"] = _per_image(per_box, image, len(logits))
        counts = self._counts(assignment, positives)
        return {name: self._summed(term, counts[name]) for name, term in terms.items()}

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for (B, 3, H, W) images and their targets.

        If the assigner needs no prediction, they depend on the targets and the priors alone: a single image is predicted,
        for its priors.

        Raises:
            InputError: as `loss_sums`.
        """
        if any(
            each.assigner.needs_prediction for each in (self.supervision, self.auxiliary) if each is not None
        ):
            output = self(images)
        else:
            training = self.training
            output = self.eval()(images[:1])  # BatchNorm cannot train on a single image
            self.train(training)
        terms = []
        for each, supervision in self._heads(output):
            _, assignment, positives = self._assign(each, targets, supervision, len(images))
            counts = self._counts(assignment, positives)
            terms.append({name: self._summed(count, count).normalizer for name, count in counts.items()})
        return _by_head(terms)

    @torch.no_grad()
    def decode(self, output: DenseOutput) -> list[Detections]:
        """Candidates of each image by decreasing score, clipped to the image; see `CandidatesConfig`."""
        chosen = select_candidates(
            self.scores(output), output.levels, self._score_threshold(), self.candidates
        )
        codes = output.codes[chosen.image, chosen.prior].float()
        boxes = clip(self.coder.decode(codes, output.priors[chosen.prior]), output.image_size)
        return split_by_image(chosen, boxes, len(output.codes))

    def _heads(self, output: DenseOutput) -> list[tuple[DenseOutput, Supervision]]:
        """Output and supervision of each head that was computed."""
        heads = [(output, self.supervision)]
        if output.auxiliary is not None:
            assert self.auxiliary is not None
            heads.append((output.auxiliary, self.auxiliary))
        return heads

    def _assign(
        self, output: DenseOutput, targets: list[Targets], supervision: Supervision, images: int
    ) -> tuple[PaddedTargets, Assignment, Positives]:
        """Padded targets of a batch, their assignment, and the positive priors; without gradients.

        Only the priors of `output` are used if the assigner needs no prediction.
        """
        require_targets(targets, images, self.num_classes)
        truth = pad_targets(targets, output.priors.device)
        assigner = supervision.assigner
        prediction = self._prediction(output, supervision.class_loss) if assigner.needs_prediction else None
        assignment = assigner(truth, output.priors, output.levels, prediction)
        assignment = ignore_background(assignment, truth, output.priors, self.ignore_overlap)
        image, prior = (assignment.objects >= 0).nonzero(as_tuple=True)
        boxes = truth.boxes[image, assignment.objects[image, prior]]
        weights = None if assignment.scores is None else assignment.scores[image, prior]
        if self.box_weights is not None:
            own = self.box_weights(boxes, output.priors[prior])
            weights = own if weights is None else weights * own
        return truth, assignment, Positives(image, prior, boxes, weights)

    def _counts(self, assignment: Assignment, positives: Positives) -> dict[str, Tensor]:
        """Number of positives of each image, (B,), or the sum of their weights, for each term."""
        each = (assignment.objects >= 0) if assignment.scores is None else assignment.scores
        counts = each.sum(dim=1)
        weighted = counts
        if self.box_weights is not None and positives.weights is not None:
            weighted = _per_image(positives.weights, positives.image, len(counts))
        terms = {"class": counts, "box": weighted}
        return terms if self.quality_loss is None else {**terms, "quality": counts}

    def scores(self, output: DenseOutput) -> Tensor:
        """Scores (B, A, C) in [0, 1] of all priors: of the class, combined with the quality where there is one."""
        return self._scores(output, self.class_loss)

    def _scores(self, output: DenseOutput, class_loss: ClassLoss) -> Tensor:
        scores = class_loss.scores(output.logits.float())
        if output.quality is not None:
            scores = (scores * output.quality.float().sigmoid()[..., None]).sqrt()
        return scores

    def _prediction(self, output: DenseOutput, class_loss: ClassLoss) -> Prediction:
        boxes = self.coder.decode(output.codes.float(), output.priors)
        return Prediction(self._scores(output, class_loss), boxes, output.image_size)

    def _summed(self, term: Tensor, counts: Tensor) -> LossSum:
        """Sum of the losses (B,) of the images, whose positives are `counts` (B,)."""
        each = image_terms(term, counts)
        if self.normalise == "image":
            return LossSum((term / counts.clamp(min=1)).sum(), counts.new_tensor(len(counts)), each)
        return LossSum(term.sum(), counts.sum(), each)


def _by_head(terms: Iterable[dict[str, T]]) -> dict[str, T]:
    """The terms of all heads; those of the second have a prefix."""
    prefixes = ("", "auxiliary_")
    return {
        prefix + name: term
        for prefix, each in zip(prefixes, terms, strict=False)
        for name, term in each.items()
    }


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
