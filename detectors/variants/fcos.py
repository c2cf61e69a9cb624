"""FCOS: points instead of anchors, distances to the four sides, and centerness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from detectors.assigners import adaptive
from detectors.assigners.center import CenterAssigner
from detectors.coders import DistanceCoder
from detectors.dense import DenseDetector
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.losses.quality import Quality, quality_loss
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, points
from detectors.pyramid import FocalConfig, PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, Range


class FCOSConfig(PyramidConfig):
    """Settings of FCOS. The paper's own network is the preset `fcos-r50-fpn`; these suit small images."""

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
    quality: Annotated[Quality, Choice("centerness", "iou")] = "centerness"
    """What a further branch says and the score is multiplied by: how near its object's middle a point lies (the
    paper), or the IoU of its box."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.6, max_dets=100)


@variant(
    "fcos",
    config=FCOSConfig,
    source="Tian et al. 2022, arXiv:2006.09214",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: FCOSConfig, num_classes: int) -> DenseDetector:
    """FCOS: no anchors, each point near an object's centre says how far its sides are."""
    center = CenterAssigner(config.radius, config.reach)

    def priors(strides: Sequence[int]) -> GridPriors:
        shapes = points(config.levels)
        if config.grid == "corner":
            return GridPriors(shapes, strides, "stride", "floor", 0.0)
        return GridPriors(shapes, strides, "stride")

    return pyramid_detector(
        config,
        num_classes,
        priors,
        assigner=center if config.assigner == "center" else adaptive(config.assigner),
        coder=DistanceCoder(config.link),
        class_loss=FocalLoss(config.focal.alpha, config.focal.gamma),
        box_loss=box_loss(config.box_loss),
        quality_loss=quality_loss(config.quality),
        level_scale=config.link == "exp",
    )
