"""ATSS: RetinaNet's head with one prior a cell, assignment that adapts to each object, GIoU and centerness."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from detectors.assigners.atss import ATSSAssigner
from detectors.coders import DeltaCoder
from detectors.dense import DenseDetector
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.losses.quality import Quality, quality_loss
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, Sizes, octave_anchors
from detectors.pyramid import FocalConfig, PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, Range


class ATSSConfig(PyramidConfig):
    """Settings of ATSS. The paper has anchors of 8 strides, 256 channels and 4 convolutions a tower."""

    levels: int = Field(default=5, ge=1, le=8)
    """Pyramid levels, from the backbone's finest on."""
    focal: FocalConfig = FocalConfig()
    anchor_scale: Annotated[float, Field(gt=0), Range(2, 10)] = 4.0
    """Side of each level's one square, in strides."""
    shapes: Sizes = ()
    """Widths and heights in pixels of each level's priors, as many at every level, instead of that square: for example
    what `bench anchors` finds."""
    closest: Annotated[int, Field(ge=2), Choice(5, 9, 15)] = 9
    """Candidates of each object and level."""
    box_loss: Annotated[BoxLossName, Choice("giou", "ciou", "diou")] = "giou"
    """What a misplaced box costs."""
    box_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of the box loss in the sum; the class loss weighs 1."""
    quality: Annotated[Quality, Choice("centerness", "iou")] = "centerness"
    """What a further branch says and the score is multiplied by: how near its object's middle a prior lies (the
    paper), or the IoU of its box."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.6, max_dets=100)


@variant(
    "atss",
    config=ATSSConfig,
    source="Zhang et al. 2020, arXiv:1912.02424",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: ATSSConfig, num_classes: int) -> DenseDetector:
    """ATSS: one prior a cell, and each object sets its own threshold for which of them must find it."""
    return pyramid_detector(
        config,
        num_classes,
        partial(make_priors, config),
        assigner=ATSSAssigner(config.closest),
        coder=DeltaCoder(centre=0.1, size=0.2),
        class_loss=FocalLoss(config.focal.alpha, config.focal.gamma),
        box_loss=box_loss(config.box_loss),
        quality_loss=quality_loss(config.quality),
        level_scale=True,
    )


def make_priors(config: ATSSConfig, strides: Sequence[int]) -> GridPriors:
    """The priors that the settings describe, for levels of these strides."""
    rule = octave_anchors(strides, config.anchor_scale, octaves=1, ratios=[1.0])
    return GridPriors(config.shapes or rule, strides)
