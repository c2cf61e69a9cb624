"""The localizer: one box and one class per image, from a backbone, pooled features and two small heads.

It is a dense detector with a single prior, the image itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners.largest import LargestAssigner
from detectors.backbones import make_backbone
from detectors.candidates import CandidatesConfig
from detectors.coders import BoxFormat, FractionCoder
from detectors.dense import DenseDetector, Supervision
from detectors.detector_config import DetectorConfig
from detectors.heads.mlp import MLPHead
from detectors.losses.box import BoxLoss, SquaredLoss, box_loss
from detectors.losses.classification import CrossEntropyLoss
from detectors.necks.pool import AttentionPool
from detectors.nms import NMSConfig
from detectors.priors import GridPriors
from detectors.search_range import Choice, OnlyIf, Range
from metrics.plurals import agree, plural

LocalizerLoss = Literal["mse", "smooth_l1", "giou"]
"""Names in settings."""


class LocalizerConfig(DetectorConfig):
    """Settings of a network that reports one object per image."""

    maps: Annotated[int, Field(ge=1, le=64), Choice(1, 2, 4, 8)] = 4
    """Number of learned maps by which features are averaged over the image; the first also gives a first box."""
    channels: Annotated[int, Field(ge=8), Choice(32, 64, 128)] = 64
    """Channels of the averaged features."""
    hidden: Annotated[int, Field(ge=8), Choice(64, 128, 256)] = 128
    """Width of the hidden layer of the class head and of the box head."""
    box_format: Annotated[BoxFormat, Choice("xyxy", "cxcywh")] = "xyxy"
    """Coordinates that the box head predicts, as fractions of the image's sides: the corners, or centre and size."""
    box_loss: Annotated[LocalizerLoss, Choice("mse", "smooth_l1", "giou")] = "giou"
    """Box regression loss: `mse`, the mean squared error of the four coordinates; `smooth_l1`, summed over them; `giou`."""
    beta: Annotated[
        float, Field(gt=0), Range(0.01, 0.2, log=True), OnlyIf("box_loss", options=["smooth_l1"])
    ] = 0.05
    """smooth_l1: difference, as a fraction of the image's sides, above which the loss is linear."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Range(0, 0.1)] = 0.0
    """Part of the target of the class loss that is spread evenly over background and all classes."""
    alpha: Annotated[float, Field(ge=0), Range(0.5, 200, log=True)] = 2.0
    """Weight of the box loss relative to the class loss. `mse` is much smaller than the other losses: give it about 50."""
    candidates: CandidatesConfig = CandidatesConfig(score=0.01, top_k=1, per="image")
    nms: NMSConfig = NMSConfig(method="none")


class Localizer(DenseDetector):
    """A dense detector whose only prior is the image, and whose only target is the largest object."""

    def training_notes(self, objects: Sequence[int], image_size: tuple[int, int]) -> list[str]:
        """What the user should know about the training targets.

        Args:
            objects: number of training objects in each image.
            image_size: (height, width) of the network's input.
        """
        total, images, empty = sum(objects), len(objects), sum(not count for count in objects)
        notes = []
        if total > images - empty:
            notes.append(
                f"of {plural(total, 'training object')}, {total - images + empty:,} {agree(total - images + empty, 'is not a target', 'are not targets')}: a localizer learns the largest "
                "object of each image"
            )
        if empty:
            notes.append(
                f"{empty:,} of {plural(images, 'training image')} {agree(empty, 'has no object: its', 'have no object: their')} class is background"
            )
        return notes


def make_localizer(config: LocalizerConfig, num_classes: int) -> Localizer:
    """Build a localizer from settings; images without objects are background."""
    backbone = make_backbone(config.backbone)
    neck = AttentionPool(backbone.channels, config.maps, config.channels)
    coder, class_loss = FractionCoder(config.box_format), CrossEntropyLoss(None, config.label_smoothing)
    head = MLPHead(
        neck.channels[0], config.hidden, class_loss.channels(num_classes), coder, class_loss.bias()
    )
    return Localizer(
        config,
        num_classes,
        box_weight=config.alpha,
        backbone=backbone,
        neck=neck,
        head=head,
        priors=GridPriors([[(1.0, 1.0)]], neck.strides, "sides", "fit"),
        supervision=Supervision(LargestAssigner(), class_loss),
        coder=coder,
        box_loss=_box_loss(config),
        normalise="image",
    )


def _box_loss(config: LocalizerConfig) -> BoxLoss:
    return SquaredLoss() if config.box_loss == "mse" else box_loss(config.box_loss, config.beta)
