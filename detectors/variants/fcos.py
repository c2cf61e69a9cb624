"""FCOS: points instead of anchors, distances to the four sides, and centerness."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners import adaptive
from detectors.assigners.center import CenterAssigner
from detectors.backbones import make_backbone
from detectors.coders import DistanceCoder
from detectors.dense import DenseConfig, DenseDetector
from detectors.heads.dense import SharedHead
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.losses.quality import CenternessLoss
from detectors.necks.pan import pyramid
from detectors.nms import NMS, NMSConfig
from detectors.pretrained import load_detector
from detectors.priors import GridPriors, points
from detectors.registry import variant
from detectors.space import Choice, Range
from detectors.variants._shared import FocalConfig, HeadConfig


class FCOSConfig(DenseConfig):
    """Settings of FCOS. The paper's own network is the preset `fcos-r50-fpn`; these suit small images."""

    levels: int = Field(default=4, ge=1, le=8)
    """Pyramid levels, from the backbone's finest on."""
    head: HeadConfig = HeadConfig()
    focal: FocalConfig = FocalConfig()
    assigner: Annotated[Literal["center", "task_aligned", "hungarian"], Choice("center", "task_aligned")] = (
        "center"
    )
    """Which points must find an object: those near its centre (the paper), or another idea."""
    radius: Annotated[float, Range(0.5, 3.0)] = 1.5
    """center: how far a point may be from the centre of its object, in strides."""
    reach: Annotated[float, Range(2, 16, log=True)] = 4.0
    """center: at each level the farthest side is reach / 2 to reach strides from the point; 8 in the paper."""
    grid: Literal["middle", "corner"] = "middle"
    """Where a cell's point is: in its middle, or at its upper left corner, as in torchvision's model."""
    link: Literal["exp", "relu"] = "exp"
    """From the network's number to a distance."""
    box_loss: Annotated[BoxLossName, Choice("iou", "giou", "ciou")] = "giou"
    """What a misplaced box costs."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.6, max_dets=100)


@variant(
    "fcos",
    config=FCOSConfig,
    source="Tian et al. 2022, arXiv:2006.09214",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: FCOSConfig, num_classes: int) -> DenseDetector:
    """FCOS: no anchors, each point near an object's centre says how far its sides are."""
    backbone = make_backbone(config.backbone)
    neck = pyramid(config.head.neck, backbone.channels, backbone.strides, config.head.channels, config.levels)
    corner = config.grid == "corner"
    shapes = points(config.levels)
    priors = GridPriors(shapes, neck.strides, "stride", *(("floor", 0.0) if corner else ("stride", 0.5)))
    coder = DistanceCoder(config.link)
    center = CenterAssigner(config.radius, config.reach)
    assigner = center if config.assigner == "center" else adaptive(config.assigner)
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
        level_scale=config.link == "exp",
    )
    detector = DenseDetector(
        backbone=backbone,
        neck=neck,
        head=head,
        priors=priors,
        num_classes=num_classes,
        assigner=assigner,
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
