"""GFL as in later YOLO versions: points, distributions over distances, one score for class and box quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners.center import CenterAssigner
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.coders import DistributionCoder
from detectors.dense import DenseDetector, Supervision
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import QualityFocalLoss
from detectors.losses.distribution import DistributionFocalLoss, SumOfLosses
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, points
from detectors.pyramid import MakeHead, PyramidConfig, pyramid_detector, same_head
from detectors.registry import variant
from detectors.search_range import Choice, OnlyIf, Range


class GFLConfig(PyramidConfig):
    """Settings of GFL. The paper assigns by ATSS, which has anchors; `center` is from FCOS, task-aligned assignment from TOOD
    (Feng et al. 2021), which begins with another rule because it depends on predictions.
    """

    levels: int = Field(default=5, ge=1, le=8)
    """Number of pyramid levels, starting at the backbone's finest."""
    beta: Annotated[float, Field(ge=0), Range(1, 3)] = 2.0
    """Exponent of the quality focal loss; a higher value reduces the weight of nearly correct predictions."""
    bins: Annotated[int, Field(ge=2, le=64), Choice(8, 16)] = 16
    """Largest distance that can be represented, in strides."""
    assigner: Annotated[Literal["task_aligned", "center"], Choice("task_aligned", "center")] = "center"
    """Which points are positive: `center`, those near the object's centre, which learns faster in short trainings with
    random initial weights; `task_aligned`, those with the best score and box (TOOD)."""
    top: Annotated[int, Field(ge=1), Choice(5, 10, 13), OnlyIf("assigner", options=["task_aligned"])] = 10
    """task_aligned: positive points per object."""
    alpha: Annotated[float, Field(ge=0), Range(0.25, 2), OnlyIf("assigner", options=["task_aligned"])] = 0.5
    """task_aligned: exponent of the score in the alignment metric; 1 in TOOD."""
    box_loss: Annotated[BoxLossName, Choice("giou", "ciou", "diou")] = "giou"
    """Box regression loss."""
    box_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of both box losses relative to the class loss."""
    distribution_weight: Annotated[float, Field(ge=0), Range(0.025, 0.5)] = 0.125
    """Weight of the distribution focal loss relative to `box_loss`."""
    nms: NMSConfig = NMSConfig(iou=0.6)


def make_points(config: GFLConfig, strides: Sequence[int]) -> GridPriors:
    """Points for levels of these strides."""
    return GridPriors(points(len(strides)), strides, "stride")


@variant(
    "gfl",
    config=GFLConfig,
    priors=make_points,
    source="Li et al. 2020, arXiv:2006.04388",
    defaults={"train.lr": 0.003, "train.batch": 8},
)
def build(config: GFLConfig, num_classes: int) -> DenseDetector:
    """GFL: distributions over distances, and one score for class and box quality."""
    return gfl_detector(config, num_classes, gfl_supervision(config))


def gfl_supervision(config: GFLConfig) -> Supervision:
    """Assigner and class loss of the settings."""
    assigner = (
        TaskAlignedAssigner(config.top, config.alpha)
        if config.assigner == "task_aligned"
        else CenterAssigner()
    )
    return Supervision(assigner, QualityFocalLoss(config.beta))


def gfl_detector(
    config: GFLConfig,
    num_classes: int,
    supervision: Supervision,
    auxiliary: Supervision | None = None,
    make_head: MakeHead = same_head,
) -> DenseDetector:
    """GFL with other supervision or another head; see `pyramid_detector` for the arguments."""
    losses = [(box_loss(config.box_loss), 1.0), (DistributionFocalLoss(), config.distribution_weight)]
    return pyramid_detector(
        config,
        num_classes,
        make_points,
        supervision=supervision,
        auxiliary=auxiliary,
        coder=DistributionCoder(config.bins),
        box_loss=SumOfLosses(losses),
        make_head=make_head,
    )
