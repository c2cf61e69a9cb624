"""GFL, as later YOLOs have it: points, distributions over distances, and one score for class and placement."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners.center import CenterAssigner
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.backbones import make_backbone
from detectors.coders import DistributionCoder
from detectors.dense import DenseConfig, DenseDetector
from detectors.heads.dense import SharedHead
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import QualityFocalLoss
from detectors.losses.distribution import DistributionFocalLoss, SumOfLosses
from detectors.necks.pan import pyramid
from detectors.nms import NMS, NMSConfig
from detectors.pretrained import load_detector
from detectors.priors import GridPriors, points
from detectors.registry import variant
from detectors.space import Choice, Range
from detectors.variants._shared import HeadConfig


class GFLConfig(DenseConfig):
    """Settings of GFL. Its paper assigns by ATSS; task-aligned assignment came with TOOD (Feng et al. 2021)."""

    levels: int = Field(default=5, ge=1, le=8)
    """Pyramid levels, from the backbone's finest on."""
    head: HeadConfig = HeadConfig()
    beta: Annotated[float, Field(ge=0), Range(1, 3)] = 2.0
    """Quality focal loss: how much what is nearly right counts less."""
    bins: Annotated[int, Field(ge=2, le=64), Choice(8, 16)] = 16
    """The farthest distance that can be written, in strides."""
    assigner: Annotated[Literal["task_aligned", "center"], Choice("task_aligned", "center")] = "task_aligned"
    """Which points must find an object: those that already score and place it best, or those near its centre."""
    top: Annotated[int, Field(ge=1), Choice(5, 10, 13)] = 10
    """task_aligned: points per object."""
    alpha: Annotated[float, Field(ge=0), Range(0.25, 2)] = 0.5
    """task_aligned: weight of the score in choosing them; 1 in TOOD."""
    box_loss: Annotated[BoxLossName, Choice("giou", "ciou", "diou")] = "giou"
    """What a misplaced box costs."""
    box_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of the box loss in the sum; the class loss weighs 1."""
    distribution_weight: Annotated[float, Field(ge=0), Range(0.05, 1)] = 0.25
    """Weight of the distribution focal loss in the sum."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.6, max_dets=100)


@variant(
    "gfl",
    config=GFLConfig,
    source="Li et al. 2020, arXiv:2006.04388",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: GFLConfig, num_classes: int) -> DenseDetector:
    """GFL: each point says how likely each distance is, and one score for class and placement together."""
    backbone = make_backbone(config.backbone)
    neck = pyramid(config.head.neck, backbone.channels, backbone.strides, config.head.channels, config.levels)
    coder = DistributionCoder(config.bins)
    class_loss = QualityFocalLoss(config.beta)
    head = SharedHead(
        config.head.channels,
        config.levels,
        1,
        class_loss.channels(num_classes),
        coder.channels,
        class_loss.bias(),
        config.head.convs,
        config.head.norm,
    )
    task_aligned = TaskAlignedAssigner(config.top, config.alpha)
    losses = [
        (box_loss(config.box_loss), config.box_weight),
        (DistributionFocalLoss(), config.distribution_weight),
    ]
    detector = DenseDetector(
        backbone=backbone,
        neck=neck,
        head=head,
        priors=GridPriors(points(config.levels), neck.strides, unit="stride"),
        num_classes=num_classes,
        assigner=task_aligned if config.assigner == "task_aligned" else CenterAssigner(),
        coder=coder,
        class_loss=class_loss,
        box_loss=SumOfLosses(losses),
        nms=NMS(config.nms),
        candidates=config.candidates,
    )
    load_detector(detector, config.weights)
    return detector
