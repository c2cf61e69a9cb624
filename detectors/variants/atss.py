"""ATSS: RetinaNet's head with one prior per cell, assignment that adapts to each object, GIoU and centerness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from detectors.assigners.atss import ATSSAssigner
from detectors.coders import DeltaCoder
from detectors.dense import DenseDetector, Supervision
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.losses.quality import BoxWeights, Quality, box_weights, quality_loss
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, Sizes, octave_anchors
from detectors.pyramid import FocalConfig, PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, PriorSetting, Range


class ATSSConfig(PyramidConfig):
    """Settings of ATSS. The paper uses anchors of 8 strides, 256 channels and 4 convolutions per tower."""

    levels: int = Field(default=5, ge=1, le=8)
    """Number of pyramid levels, starting at the backbone's finest."""
    focal: FocalConfig = FocalConfig()
    anchor_scale: Annotated[float, Field(gt=0), Range(2, 10), PriorSetting()] = 4.0
    """Side of the one square anchor of each level, in strides."""
    shapes: Annotated[Sizes, PriorSetting()] = ()
    """(width, height) in pixels of each level's anchors, the same number at every level; replaces `anchor_scale`.
    `bench anchors` finds such shapes."""
    closest: Annotated[int, Field(ge=2), Choice(5, 9, 15)] = 9
    """Candidate anchors per object and level."""
    box_loss: Annotated[BoxLossName, Choice("giou", "ciou", "diou")] = "giou"
    """Box regression loss."""
    box_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of the box loss relative to the class loss."""
    quality: Annotated[Quality, Choice("centerness", "iou")] = "centerness"
    """Output of the quality branch, which is multiplied into the score: `centerness` (the paper), or the `iou` of the
    predicted box; `none`: no such branch."""
    box_weights: Annotated[BoxWeights, Choice("equal", "centerness")] = "centerness"
    """Weights of positive anchors in the box loss: `equal`, or `centerness` as in the authors' program, where anchors near the
    object's centre count more; the loss is divided by the sum of the weights."""
    nms: NMSConfig = NMSConfig(iou=0.6)


def make_anchors(config: ATSSConfig, strides: Sequence[int]) -> GridPriors:
    """Anchors for levels of these strides."""
    rule = octave_anchors(strides, config.anchor_scale, octaves=1, ratios=[1.0])
    return GridPriors(config.shapes or rule, strides)


@variant(
    "atss",
    config=ATSSConfig,
    priors=make_anchors,
    source="Zhang et al. 2020, arXiv:1912.02424",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: ATSSConfig, num_classes: int) -> DenseDetector:
    """ATSS: one anchor per cell; the IoU threshold of positives is computed for each object."""
    return pyramid_detector(
        config,
        num_classes,
        make_anchors,
        supervision=Supervision(
            ATSSAssigner(config.closest), FocalLoss(config.focal.alpha, config.focal.gamma)
        ),
        coder=DeltaCoder(centre=0.1, size=0.2),
        box_loss=box_loss(config.box_loss),
        quality_loss=quality_loss(config.quality),
        box_weights=box_weights(config.box_weights),
        level_scale=True,
    )
