"""SSD: default boxes on the backbone's own features, softmax with hard negatives, smooth L1 on codes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners.overlap import OverlapAssigner
from detectors.backbones import make_backbone
from detectors.coders import DeltaCoder
from detectors.dense import CandidatesConfig, DenseConfig, DenseDetector
from detectors.heads.dense import LevelHead
from detectors.losses.box import box_loss
from detectors.losses.classification import CrossEntropyLoss
from detectors.necks.fpn import FPN
from detectors.necks.ssd_extras import SSDExtras
from detectors.nms import NMS, NMSConfig
from detectors.priors import GridPriors, default_boxes
from detectors.registry import variant
from detectors.space import Choice, Range


class SSDConfig(DenseConfig):
    """Settings of SSD. The paper's own network is the preset `ssd300-vgg16`; these suit small images."""

    levels: int = Field(default=4, ge=1, le=8)
    """Feature levels; beyond the backbone's they are made by extra layers."""
    neck: Literal["extras", "fpn"] = "extras"
    """`extras`: the backbone's features as they are (the paper); `fpn`: a feature pyramid over them."""
    neck_channels: int = Field(default=128, ge=8)
    """Channels of extra levels, or of the pyramid."""
    scale_min: Annotated[float, Range(0.05, 0.3)] = 0.1
    """Scale of the finest level's default boxes, as a share of the image."""
    scale_max: Annotated[float, Range(0.5, 0.95)] = 0.7
    """Scale of the coarsest level's default boxes."""
    ratios: tuple[float, ...] = (2.0, 3.0)
    """Widths over heights beside 1; each stands for its inverse, too."""
    separable: bool = False
    """Depthwise-separable predictors, as in SSDLite."""
    positive: Annotated[float, Range(0.3, 0.7)] = 0.5
    """IoU with an object from which on a prior must find it."""
    negatives: Annotated[float, Range(1, 10)] = 3.0
    """Hard negatives per positive."""
    box_loss: Annotated[
        Literal["smooth_l1", "l1", "iou", "giou", "diou", "ciou"], Choice("smooth_l1", "giou", "ciou")
    ] = "smooth_l1"
    """What a misplaced box costs."""
    candidates: CandidatesConfig = CandidatesConfig(score=0.01, top_k=400, per="class")
    nms: NMSConfig = NMSConfig(score=0.01, iou=0.45, max_dets=200)


@variant("ssd", config=SSDConfig, source="Liu et al. 2016, arXiv:1512.02325", defaults={})
def build(config: SSDConfig, num_classes: int) -> DenseDetector:
    """SSD: default boxes at several scales, softmax with hard negative mining."""
    backbone = make_backbone(config.backbone)
    make_neck = FPN if config.neck == "fpn" else SSDExtras
    neck = make_neck(backbone.channels, backbone.strides, levels=config.levels, channels=config.neck_channels)
    shapes = default_boxes(config.levels, config.scale_min, config.scale_max, [config.ratios])
    priors = GridPriors(shapes, neck.strides, unit="image", spacing="fit")
    coder, class_loss = DeltaCoder(centre=0.1, size=0.2), CrossEntropyLoss(config.negatives)
    head = LevelHead(
        neck.channels,
        priors.per_cell,
        class_loss.channels(num_classes),
        coder.channels,
        class_loss.bias(),
        config.separable,
    )
    return DenseDetector(
        backbone=backbone,
        neck=neck,
        head=head,
        priors=priors,
        num_classes=num_classes,
        assigner=OverlapAssigner(config.positive, config.positive, forced="own"),
        coder=coder,
        class_loss=class_loss,
        box_loss=box_loss(config.box_loss),
        nms=NMS(config.nms),
        candidates=config.candidates,
        box_weight=config.box_weight,
    )
