"""ATSS: RetinaNet's head with one prior a cell, assignment that adapts to each object, GIoU and centerness."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.assigners.atss import ATSSAssigner
from detectors.backbones import make_backbone
from detectors.coders import DeltaCoder
from detectors.dense import DenseConfig, DenseDetector
from detectors.heads.dense import SharedHead
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.losses.quality import CenternessLoss
from detectors.necks.pan import pyramid
from detectors.nms import NMS, NMSConfig
from detectors.pretrained import load_detector
from detectors.priors import GridPriors, octave_anchors
from detectors.registry import variant
from detectors.space import Choice, Range
from detectors.variants._shared import FocalConfig, HeadConfig


class ATSSConfig(DenseConfig):
    """Settings of ATSS. The paper has anchors of 8 strides, 256 channels and 4 convolutions a tower."""

    levels: int = Field(default=5, ge=1, le=8)
    """Pyramid levels, from the backbone's finest on."""
    head: HeadConfig = HeadConfig()
    focal: FocalConfig = FocalConfig()
    anchor_scale: Annotated[float, Field(gt=0), Range(2, 10)] = 4.0
    """Side of each level's one square, in strides."""
    closest: Annotated[int, Field(ge=2), Choice(5, 9, 15)] = 9
    """Candidates of each object and level."""
    box_loss: Annotated[BoxLossName, Choice("giou", "ciou", "diou")] = "giou"
    """What a misplaced box costs."""
    box_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of the box loss in the sum; the class loss weighs 1."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.6, max_dets=100)


@variant(
    "atss",
    config=ATSSConfig,
    source="Zhang et al. 2020, arXiv:1912.02424",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: ATSSConfig, num_classes: int) -> DenseDetector:
    """ATSS: one prior a cell, and each object sets its own threshold for which of them must find it."""
    backbone = make_backbone(config.backbone)
    neck = pyramid(config.head.neck, backbone.channels, backbone.strides, config.head.channels, config.levels)
    shapes = octave_anchors(neck.strides, config.anchor_scale, octaves=1, ratios=[1.0])
    coder = DeltaCoder(centre=0.1, size=0.2)
    class_loss = FocalLoss(config.focal.alpha, config.focal.gamma)
    head = SharedHead(
        config.head.channels,
        config.levels,
        1,
        class_loss.channels(num_classes),
        coder.channels,
        class_loss.bias(),
        config.head.convs,
        config.head.norm,
        quality=True,
        level_scale=True,
    )
    detector = DenseDetector(
        backbone=backbone,
        neck=neck,
        head=head,
        priors=GridPriors(shapes, neck.strides),
        num_classes=num_classes,
        assigner=ATSSAssigner(config.closest),
        coder=coder,
        class_loss=class_loss,
        box_loss=box_loss(config.box_loss),
        nms=NMS(config.nms),
        quality_loss=CenternessLoss(),
        candidates=config.candidates,
        box_weight=config.box_weight,
    )
    load_detector(detector, config.weights)
    return detector
