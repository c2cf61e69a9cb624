"""GFL, as later YOLOs have it: points, distributions over distances, and one score for class and placement."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners.center import CenterAssigner
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.coders import DistributionCoder
from detectors.dense import DenseDetector
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import QualityFocalLoss
from detectors.losses.distribution import DistributionFocalLoss, SumOfLosses
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, points
from detectors.pyramid import PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, Range


class GFLConfig(PyramidConfig):
    """Settings of GFL. Its paper assigns by ATSS; task-aligned assignment came with TOOD (Feng et al. 2021)."""

    levels: int = Field(default=5, ge=1, le=8)
    """Pyramid levels, from the backbone's finest on."""
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
    """Weight of both box losses in the sum; the class loss weighs 1."""
    distribution_weight: Annotated[float, Field(ge=0), Range(0.025, 0.5)] = 0.125
    """Weight of the distribution focal loss beside `box_loss`, which weighs 1."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.6, max_dets=100)


@variant(
    "gfl",
    config=GFLConfig,
    source="Li et al. 2020, arXiv:2006.04388",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: GFLConfig, num_classes: int) -> DenseDetector:
    """GFL: each point says how likely each distance is, and one score for class and placement together."""
    task_aligned = TaskAlignedAssigner(config.top, config.alpha)
    losses = [(box_loss(config.box_loss), 1.0), (DistributionFocalLoss(), config.distribution_weight)]
    return pyramid_detector(
        config,
        num_classes,
        lambda strides: GridPriors(points(config.levels), strides, "stride"),
        assigner=task_aligned if config.assigner == "task_aligned" else CenterAssigner(),
        coder=DistributionCoder(config.bins),
        class_loss=QualityFocalLoss(config.beta),
        box_loss=SumOfLosses(losses),
    )
