"""FCOS: points instead of anchors, distances to the four sides, and centerness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from detectors.assigners import adaptive
from detectors.assigners.center import CenterAssigner
from detectors.coders import DistanceCoder
from detectors.dense import DenseDetector, Supervision
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.losses.quality import BoxWeights, Quality, box_weights, quality_loss
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, points
from detectors.pyramid import FocalConfig, PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, OnlyIf, Range


class FCOSConfig(PyramidConfig):
    """Settings of FCOS. The preset `fcos-r50-fpn` is the paper's network; these defaults suit small images."""

    focal: FocalConfig = FocalConfig()
    assigner: Annotated[Literal["center", "task_aligned", "hungarian"], Choice("center", "task_aligned")] = (
        "center"
    )
    """Which points are positive: `center`, those near the object's centre (the paper); `task_aligned` (TOOD);
    `hungarian`, one per object."""
    radius: Annotated[float, Range(0.5, 3.0), OnlyIf("assigner", options=["center"])] = 1.5
    """center: largest distance of a positive point from the object's centre, in strides."""
    reach: Annotated[float, Range(2, 16, log=True), OnlyIf("assigner", options=["center"])] = 4.0
    """center: a level is responsible for objects whose farthest side is reach / 2 to reach strides from the point; 8
    in the paper."""
    grid: Literal["middle", "corner"] = "middle"
    """Position of a cell's point: its `middle`, or its upper left `corner`, as in torchvision's model."""
    link: Literal["exp", "relu"] = "exp"
    """Function that maps the network's output to a distance."""
    box_loss: Annotated[BoxLossName, Choice("iou", "giou", "ciou")] = "giou"
    """Box regression loss."""
    quality: Annotated[Quality, Choice("centerness", "iou")] = "centerness"
    """Output of the quality branch, which is multiplied into the score: `centerness` (the paper), or the `iou` of the
    predicted box; `none`: no such branch."""
    box_weights: Annotated[BoxWeights, Choice("equal", "centerness")] = "centerness"
    """Weights of positive points in the box loss: `equal`, or `centerness` as in the authors' program, where points near the
    object's centre count more; the loss is divided by the sum of the weights."""
    nms: NMSConfig = NMSConfig(iou=0.6)


def make_points(config: FCOSConfig, strides: Sequence[int]) -> GridPriors:
    """Points for levels of these strides."""
    if config.grid == "corner":
        return GridPriors(points(len(strides)), strides, "stride", "floor", 0.0)
    return GridPriors(points(len(strides)), strides, "stride")


@variant(
    "fcos",
    config=FCOSConfig,
    priors=make_points,
    source="Tian et al. 2022, arXiv:2006.09214",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: FCOSConfig, num_classes: int) -> DenseDetector:
    """FCOS: no anchors; points near an object's centre predict the distances to its sides."""
    center = CenterAssigner(config.radius, config.reach)
    return pyramid_detector(
        config,
        num_classes,
        make_points,
        supervision=Supervision(
            center if config.assigner == "center" else adaptive(config.assigner),
            FocalLoss(config.focal.alpha, config.focal.gamma),
        ),
        coder=DistanceCoder(config.link),
        box_loss=box_loss(config.box_loss),
        quality_loss=quality_loss(config.quality),
        box_weights=box_weights(config.box_weights),
        level_scale=config.link == "exp",
    )
