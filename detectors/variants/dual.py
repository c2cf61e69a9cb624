"""Dual assignment: GFL with a second head that assigns one point to each object and needs no NMS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.coders import DistributionCoder
from detectors.dense import DenseDetector, Supervision
from detectors.heads.dual import DualHead, Inference
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import QualityFocalLoss
from detectors.losses.distribution import DistributionFocalLoss, SumOfLosses
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, points
from detectors.pyramid import PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, PredictionSetting, Range


class DualConfig(PyramidConfig):
    """Settings of dual assignment. Points, distributions and losses are those of GFL."""

    levels: int = Field(default=5, ge=1, le=8)
    """Number of pyramid levels, starting at the backbone's finest."""
    inference: Annotated[Inference, PredictionSetting()] = "one_to_one"
    """Head that predicts: `one_to_one`, without NMS; or `one_to_many`, with `nms.method=hard`. Both are always trained."""
    top: Annotated[int, Field(ge=1), Choice(5, 10, 13)] = 10
    """Positive points per object of the one-to-many head."""
    alpha: Annotated[float, Field(ge=0), Range(0.25, 2)] = 0.5
    """Exponent of the score in the alignment metric of both heads."""
    beta: Annotated[float, Field(ge=0), Range(1, 8)] = 6.0
    """Exponent of the IoU in the alignment metric of both heads."""
    quality_beta: Annotated[float, Field(ge=0), Range(1, 3)] = 2.0
    """Exponent of the one-to-many head's quality focal loss; a higher value reduces the weight of nearly correct
    predictions."""
    one_to_one_beta: Annotated[float, Field(ge=0), Range(0, 2)] = 0.0
    """Exponent of the one-to-one head's quality focal loss; 0 is cross-entropy, which suppresses duplicates best."""
    bins: Annotated[int, Field(ge=2, le=64), Choice(8, 16)] = 16
    """Largest distance that can be represented, in strides."""
    box_loss: Annotated[BoxLossName, Choice("giou", "ciou", "diou")] = "giou"
    """Box regression loss."""
    box_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of both box losses relative to the class loss."""
    distribution_weight: Annotated[float, Field(ge=0), Range(0.025, 0.5)] = 0.125
    """Weight of the distribution focal loss relative to `box_loss`."""
    nms: NMSConfig = NMSConfig(method="none", iou=0.6)


def make_points(config: DualConfig, strides: Sequence[int]) -> GridPriors:
    """Points for levels of these strides."""
    return GridPriors(points(len(strides)), strides, "stride")


@variant(
    "dual",
    config=DualConfig,
    priors=make_points,
    source="Wang et al. 2024, arXiv:2405.14458",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: DualConfig, num_classes: int) -> DenseDetector:
    """Dual assignment: trained with many and with one point per object, predicts without NMS."""
    one_to_many = Supervision(
        TaskAlignedAssigner(config.top, config.alpha, config.beta), QualityFocalLoss(config.quality_beta)
    )
    one_to_one = Supervision(
        TaskAlignedAssigner(1, config.alpha, config.beta), QualityFocalLoss(config.one_to_one_beta)
    )
    used, other = (one_to_one, one_to_many) if config.inference == "one_to_one" else (one_to_many, one_to_one)
    losses = [(box_loss(config.box_loss), 1.0), (DistributionFocalLoss(), config.distribution_weight)]
    return pyramid_detector(
        config,
        num_classes,
        make_points,
        assigner=used.assigner,
        auxiliary=other,
        coder=DistributionCoder(config.bins),
        class_loss=used.class_loss,
        box_loss=SumOfLosses(losses),
        make_head=lambda head: DualHead(head(), head(), config.inference),
    )
