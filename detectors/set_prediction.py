"""The set prediction detector: backbone, neck, queries and decoder predict; matching, losses and denoising train them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detectors.assigners.ignored_regions import ignore_background
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.assigners.types import Assignment, PaddedTargets, Prediction, pad_targets
from detectors.backbones import Backbone
from detectors.candidates import select_candidates, split_by_image
from detectors.denoising import DenoisingConfig, denoising_queries
from detectors.detector_config import DetectorConfig
from detectors.heads.decoder import Decoder
from detectors.heads.queries import LearnedQueries, ProposalQueries, Queries, not_half
from detectors.input_checks import require_images, require_targets
from detectors.losses.classification import QualityFocalLoss
from detectors.losses.set_prediction import SetLoss, SetLosses, relative_targets, repeated
from detectors.network import DetectorNetwork
from detectors.types import DenseOutput, Detections, LossSum, Targets, image_terms
from metrics.boxes import clip, convert
from metrics.iou import aligned_generalized_box_iou


class SetOutput(NamedTuple):
    """Raw output of set prediction for B images, L decoder layers and Q queries.

    Attributes:
        logits: (B, L, Q, C).
        boxes: (B, L, Q, 4) cxcywh, as fractions of the image's sides.
        dense: output of the dense head that makes the proposals; None for learned queries.
        features: levels (B, channels, rows, columns), which denoising queries attend to in training.
        image_size: (height, width) of the network's input.
    """

    logits: Tensor
    boxes: Tensor
    dense: DenseOutput | None
    features: tuple[Tensor, ...]
    image_size: tuple[int, int]


class SetDetector(DetectorNetwork):
    """A detector whose queries are matched to objects one to one, without NMS; a `detectors.types.Detector`.

    Args:
        config: settings of candidates, NMS and weights; a file of weights is loaded.
        num_classes: C.
        backbone: computes features from images.
        neck: computes the levels from features; has `strides` and `channels`.
        queries: of the decoder.
        decoder: refines the queries.
        loss: of matched queries.
        denoising: settings of denoising queries.
        proposal_top: positive priors per object in the training of the dense head that makes proposals. More than one,
            unlike in the papers of DETR, because a dense head that is trained one to one learns slowly (Zong et al. 2023,
            Co-DETR).
    """

    def __init__(
        self,
        config: DetectorConfig,
        num_classes: int,
        *,
        backbone: Backbone,
        neck: nn.Module,
        queries: ProposalQueries | LearnedQueries,
        decoder: Decoder,
        loss: SetLoss,
        denoising: DenoisingConfig,
        proposal_top: int = 10,
    ) -> None:
        super().__init__(config, num_classes)
        self.backbone = backbone
        self.neck = neck
        self.queries = queries
        self.decoder = decoder
        self.loss = loss
        self.denoising = denoising
        self.names = nn.Embedding(num_classes, decoder.channels) if denoising.groups else None
        self.proposal_assigner = TaskAlignedAssigner(proposal_top, alpha=0.5)
        self.proposal_loss = QualityFocalLoss()
        self._complete(config)

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """Set the weights of the class losses before training; see `DenseDetector.weigh_classes`.

        Raises:
            InputError: the settings have a weight for a class that is not in `names`.
        """
        weights = self._weights_of_classes(counts, names)
        self.loss.class_loss.weights = self.proposal_loss.weights = weights

    def forward(self, images: Tensor) -> SetOutput:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]; any H, W."""
        require_images(images)
        images = images.contiguous(memory_format=torch.channels_last)
        image_size = (images.shape[2], images.shape[3])
        features = tuple(self.neck(self.backbone(images)))
        queries: Queries = self.queries(features, image_size)
        logits, boxes = self.decoder(queries.content, queries.references, features, image_size)
        return SetOutput(logits, boxes, queries.dense, features, image_size)

    def loss_sums(self, output: SetOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """Sums of the losses, and the numbers of objects that they are divided by.

        ``class`` and ``box`` are those of the last decoder layer, ``auxiliary`` both of the layers before (Carion et al.
        2020, section 3.2); ``proposals`` both of the dense head, divided by the sum of its target scores;
        ``denoising`` both of the denoising queries in all layers, in training mode only.

        Boxes without width or height and boxes with corners that are not finite are ignored.

        Raises:
            InputError: the number of `Targets` is not that of the images, or a label is outside [0, num_classes).
        """
        truth = self._truth(targets, len(output.logits), output.logits.device)
        relative = relative_targets(truth, output.image_size)
        score, box = self._matched(output, relative)
        by_layer = SetLosses(score.sum(dim=0), box.sum(dim=0))
        counts = truth.valid.sum(dim=1)
        objects = counts.sum()
        auxiliary = by_layer.score[:-1].sum() + by_layer.box[:-1].sum()
        terms = {
            "class": LossSum(by_layer.score[-1], objects, image_terms(score[:, -1], counts)),
            "box": LossSum(by_layer.box[-1], objects, image_terms(box[:, -1], counts)),
            "auxiliary": LossSum(auxiliary, objects, image_terms((score + box)[:, :-1].sum(dim=1), counts)),
        }
        if output.dense is not None:
            assignment = self._assign_proposals(output.dense, truth)
            total = self._proposal_total(output.dense, truth, assignment)
            terms["proposals"] = LossSum(total, _normalizer(assignment))
        if self.training and self.denoising.groups:
            terms["denoising"] = LossSum(self._denoised(output, relative), objects * self.denoising.groups)
        return terms

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for (B, 3, H, W) images and their targets.

        Raises:
            InputError: as `loss_sums`.
        """
        truth = self._truth(targets, len(images), images.device)
        objects = truth.valid.sum()
        terms = {"class": objects, "box": objects, "auxiliary": objects}
        if isinstance(self.queries, ProposalQueries):
            dense = self(images).dense
            assert dense is not None
            terms["proposals"] = _normalizer(self._assign_proposals(dense, truth))
        if self.training and self.denoising.groups:
            terms["denoising"] = objects * self.denoising.groups
        return terms

    @torch.no_grad()
    def decode(self, output: SetOutput) -> list[Detections]:
        """Candidates of each image by decreasing score, clipped to the image: every class of every query of the last layer."""
        scores = self.loss.class_loss.scores(output.logits[:, -1].float())
        chosen = select_candidates(scores, (scores.shape[1],), self._score_threshold(), self.candidates)
        height, width = output.image_size
        boxes = output.boxes[chosen.image, -1, chosen.prior].float()
        boxes = convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])
        return split_by_image(chosen, clip(boxes, output.image_size), len(scores))

    def _matched(self, output: SetOutput, truth: PaddedTargets) -> SetLosses:
        """Losses (B, L) of the images in the decoder's layers, each with a matching of its own."""
        layers = output.logits.shape[1]
        logits, boxes = not_half(output.logits).flatten(0, 1), not_half(output.boxes).flatten(0, 1)
        truth = repeated(truth, layers)
        objects = self.loss.match(logits, boxes, truth)
        losses = self.loss(logits, boxes, objects, truth)
        return SetLosses(*(term.view(-1, layers) for term in losses))

    def _denoised(self, output: SetOutput, truth: PaddedTargets) -> Tensor:
        """Sum of the losses of denoising queries, which attend to the features of `output`."""
        assert self.names is not None
        drawn = denoising_queries(truth, self.num_classes, self.denoising)
        features = [not_half(feature) for feature in output.features]
        content = self.names(drawn.labels)
        references = drawn.boxes.to(content.dtype)
        found = self.decoder(content, references, features, output.image_size, drawn.mask)
        layers = found.logits.shape[1]
        objects = drawn.objects.repeat_interleave(layers, dim=0)
        logits, boxes = found.logits.flatten(0, 1), found.boxes.flatten(0, 1)
        losses = self.loss(logits, boxes, objects, repeated(truth, layers))
        return losses.score.sum() + losses.box.sum()

    @torch.no_grad()
    def _assign_proposals(self, dense: DenseOutput, truth: PaddedTargets) -> Assignment:
        scores = self.proposal_loss.scores(dense.logits.float())
        prediction = Prediction(scores, self._proposed(dense), dense.image_size)
        assignment = self.proposal_assigner(truth, dense.priors, dense.levels, prediction)
        return ignore_background(assignment, truth, dense.priors, self.ignore_overlap)

    def _proposed(self, dense: DenseOutput) -> Tensor:
        assert isinstance(self.queries, ProposalQueries)
        return self.queries.coder.decode(dense.codes.float(), dense.priors)

    def _proposal_total(self, dense: DenseOutput, truth: PaddedTargets, assignment: Assignment) -> Tensor:
        """Sum of the quality focal loss and of the GIoU loss of the positive priors, weighted by their target scores."""
        assert assignment.scores is not None
        image, prior = (assignment.objects >= 0).nonzero(as_tuple=True)
        wanted = truth.boxes[image, assignment.objects[image, prior]]
        per_box = 1 - aligned_generalized_box_iou(self._proposed(dense)[image, prior], wanted)
        per_image = self.proposal_loss(dense.logits.float(), assignment.labels(truth), assignment.scores)
        return per_image.sum() + self.loss.weights.giou * (per_box * assignment.scores[image, prior]).sum()

    def _truth(self, targets: list[Targets], images: int, device: torch.device) -> PaddedTargets:
        require_targets(targets, images, self.num_classes)
        return pad_targets(targets, device)


def _normalizer(assignment: Assignment) -> Tensor:
    assert assignment.scores is not None
    return assignment.scores.sum()
