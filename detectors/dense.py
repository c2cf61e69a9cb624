"""The dense detector: backbone, neck, head and priors say what they see; assigner, coder and losses teach them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from detectors.assigners.types import Assigner, Assignment, PaddedTargets, Prediction, pad_targets
from detectors.backbones import Backbone, BackboneConfig
from detectors.candidates import CandidatesConfig, choose
from detectors.coders import BoxCoder
from detectors.config import Config
from detectors.losses.box import BoxLoss
from detectors.losses.class_weights import ClassWeightsConfig, class_weights
from detectors.losses.classification import ClassLoss
from detectors.losses.quality import QualityLoss
from detectors.nms import NMS, NMSConfig
from detectors.pretrained import load_detector
from detectors.priors import GridPriors
from detectors.types import DenseOutput, Detections, Suppression, Targets
from metrics.errors import InputError
from metrics.iou import aligned_box_iou


class DenseConfig(Config):
    """Settings that all dense detectors have."""

    weights: str | None = None
    """A file of weights of the whole detector, ours or torchvision's, or torchvision's name for them, such as
    `SSD300_VGG16_Weights.COCO_V1`; none: only the backbone may have weights."""
    backbone: BackboneConfig = BackboneConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    nms: NMSConfig = NMSConfig()
    class_weights: ClassWeightsConfig = ClassWeightsConfig()
    box_weight: float = Field(default=1.0, ge=0)
    """Weight of the box loss in the sum; the class loss weighs 1."""


class DenseDetector(nn.Module):
    """A one-stage detector, made of parts; see `detectors.types.Detector` for its verbs.

    Args:
        config: suppression, candidates, weights: what all dense detectors have. Where it names a file of weights,
            these are loaded.
        num_classes: C.
        backbone: images to features.
        neck: features to the levels that the head sees; has `strides` and `channels`.
        head: levels to logits, codes and quality.
        priors: for the same levels.
        assigner: which object each prior must find.
        coder: how boxes are written against priors.
        class_loss: owns the class channels and their scores.
        box_loss: on codes or on boxes.
        quality_loss: for the head's quality branch, which is multiplied into the score (geometric mean).
        normalise: divide the losses by the positive priors of the whole ``batch``, or of each ``image`` and average.
    """

    nms: Suppression

    def __init__(
        self,
        config: DenseConfig,
        num_classes: int,
        *,
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
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.priors = priors
        self.assigner = assigner
        self.coder = coder
        self.class_loss = class_loss
        self.box_loss = box_loss
        self.quality_loss = quality_loss
        self.normalise = normalise
        self.nms = NMS(config.nms)
        self.candidates = config.candidates
        self.box_weight = config.box_weight
        self._class_weights = config.class_weights
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU alike
        load_detector(self, config.weights)

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """Call before training: what the class loss multiplies by, see `ClassWeightsConfig`.

        Args:
            counts: objects of each of the C classes among the training images.
            names: of the classes.

        Raises:
            InputError: the settings have a weight for a class that is not among `names`.
        """
        weights = class_weights(self._class_weights, counts, names)
        self.class_loss.weights = None if weights is None else weights.to(next(self.parameters()).device)

    def prepare(self, batches: Iterable[Tensor]) -> bool:
        """Call once before training from scratch or from loaded weights; see `Backbone.prepare`."""
        return self.backbone.prepare(batches)

    def forward(self, images: Tensor) -> DenseOutput:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]; any H, W."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(f"images: expected shape (B, 3, H, W), got {tuple(images.shape)}")
        images = images.contiguous(memory_format=torch.channels_last)
        features = self.neck(self.backbone(images))
        logits, codes, quality = self.head(features)
        grids = [(feature.shape[2], feature.shape[3]) for feature in features]
        image_size = (images.shape[2], images.shape[3])
        priors = self.priors(grids, image_size, images.device)
        levels = tuple(
            rows * columns * n for (rows, columns), n in zip(grids, self.priors.per_cell, strict=True)
        )
        return DenseOutput(logits, codes, quality, priors, image_size, levels)

    def losses(self, output: DenseOutput, targets: list[Targets]) -> dict[str, Tensor]:
        """``class``, ``box`` and where there is a quality branch ``quality``: scalars, divided by the positives.

        Boxes without width or height or with corners that are not finite are left out; a batch without any object
        has a finite loss.

        Raises:
            InputError: not one `Targets` per image, or a label outside of [0, num_classes).
        """
        logits, codes = output.logits.float(), output.codes.float()
        self._check(targets, len(logits))
        truth = pad_targets(targets, logits.device)
        with torch.no_grad():
            heard = self._prediction(output) if self.assigner.listens else None
            assignment = self.assigner(truth, output.priors, output.levels, heard)
            image, prior = (assignment.objects >= 0).nonzero(as_tuple=True)
            which = assignment.objects[image, prior]
            boxes, priors = truth.boxes[image, which], output.priors[prior]
        chosen = codes[image, prior]
        with torch.no_grad():
            found = self.coder.decode(chosen, priors)
            labels = _labels(truth, assignment)
            quality = self._targets_of_quality(assignment, image, prior, found, boxes)
        per_box = self.box_loss(chosen, boxes, priors, self.coder)
        if assignment.scores is not None:
            per_box = per_box * assignment.scores[image, prior]
        terms = {
            "class": self.class_loss(logits, labels, quality),
            "box": self.box_weight * _per_image(per_box, image, len(logits)),
        }
        if self.quality_loss is not None:
            assert output.quality is not None
            said = output.quality.float()[image, prior]
            terms["quality"] = _per_image(self.quality_loss(said, found, boxes, priors), image, len(logits))
        positives = (assignment.objects >= 0) if assignment.scores is None else assignment.scores
        return self._normalised(terms, positives.sum(dim=1))

    @torch.no_grad()
    def decode(self, output: DenseOutput) -> list[Detections]:
        """Candidates of each image, by falling score, clipped to the image; see `CandidatesConfig`."""
        chosen = choose(self._scores(output), output.levels, self._floor(), self.candidates)
        codes = output.codes[chosen.image, chosen.prior].float()
        boxes = _clip(self.coder.decode(codes, output.priors[chosen.prior]), output.image_size)
        counts = chosen.image.bincount(minlength=len(output.codes)).tolist()
        columns = (torch.split(column, counts) for column in (boxes, chosen.score, chosen.label))
        return [Detections(*part) for part in zip(*columns, strict=True)]

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]; call `eval` first."""
        return [self.nms(candidates) for candidates in self.decode(self(images))]

    def _scores(self, output: DenseOutput) -> Tensor:
        scores = self.class_loss.scores(output.logits.float())
        if output.quality is not None:
            scores = (scores * output.quality.float().sigmoid()[..., None]).sqrt()
        return scores

    def _prediction(self, output: DenseOutput) -> Prediction:
        boxes = self.coder.decode(output.codes.float(), output.priors)
        return Prediction(self._scores(output), boxes, output.image_size)

    def _floor(self) -> float:
        config = getattr(self.nms, "config", None)
        return (
            min(self.candidates.score, config.score)
            if isinstance(config, NMSConfig)
            else self.candidates.score
        )

    def _check(self, targets: list[Targets], images: int) -> None:
        if len(targets) != images:
            raise InputError(f"targets: expected one per image, {images}, got {len(targets)}")
        for number, target in enumerate(targets):
            if not len(target.labels) or target.labels.device.type != "cpu":
                continue
            low, high = torch.aminmax(target.labels)
            if low < 0 or high >= self.num_classes:
                raise InputError(
                    f"targets[{number}].labels: {int(low)} to {int(high)} with {self.num_classes} classes; "
                    f"expected 0 to {self.num_classes - 1}"
                )

    def _targets_of_quality(
        self, assignment: Assignment, image: Tensor, prior: Tensor, found: Tensor, boxes: Tensor
    ) -> Tensor | None:
        """(B, A) what the positive priors should score, for a class loss that asks; elsewhere 0."""
        if not self.class_loss.soft:
            return None
        if assignment.scores is not None:
            return assignment.scores
        quality = torch.zeros(assignment.objects.shape, device=found.device)
        quality[image, prior] = aligned_box_iou(found, boxes)
        return quality

    def _normalised(self, terms: dict[str, Tensor], positives: Tensor) -> dict[str, Tensor]:
        if self.normalise == "image":
            return {name: (term / positives.clamp(min=1)).mean() for name, term in terms.items()}
        total = positives.sum().clamp(min=1)
        return {name: term.sum() / total for name, term in terms.items()}


def _labels(truth: PaddedTargets, assignment: Assignment) -> Tensor:
    """(B, A) the label of each prior's object, or its verdict where it has none."""
    labels = truth.labels.gather(1, assignment.objects.clamp(min=0))
    return torch.where(assignment.objects >= 0, labels, assignment.objects)


def _per_image(per_box: Tensor, image: Tensor, images: int) -> Tensor:
    """(B,) sums of what (P,) positives of those images cost."""
    return per_box.new_zeros(images).index_add(0, image, per_box)


def _clip(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    height, width = image_size
    return torch.stack(
        [
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ],
        dim=-1,
    )
