"""Faster R-CNN on a feature pyramid: region proposals, then a class and a box for each region."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.assigners.overlap import OverlapAssigner
from detectors.coders import DeltaCoder
from detectors.registry import variant
from detectors.search_range import Range
from detectors.two_stage import Stage, TwoStageDetector
from detectors.two_stage_pyramid import TwoStageConfig, make_anchors, two_stage_detector


class FasterRCNNConfig(TwoStageConfig):
    """Settings of Faster R-CNN. The preset `faster-rcnn-r50-fpn` is torchvision's network; these defaults suit small images."""

    positive: Annotated[float, Field(ge=0, le=1), Range(0.4, 0.7)] = 0.5
    """Smallest IoU of a positive region; others are background."""


@variant(
    "faster_rcnn",
    config=FasterRCNNConfig,
    priors=make_anchors,
    source="Ren et al. 2015, arXiv:1506.01497; Lin et al. 2017, arXiv:1612.03144",
    defaults={"train.lr": 0.002, "train.batch": 8},
)
def build(config: FasterRCNNConfig, num_classes: int) -> TwoStageDetector:
    """Faster R-CNN: region proposals, then a class and a box for the pooled features of each."""
    assigner = OverlapAssigner(config.positive, config.positive, "none")
    stage = Stage(assigner, DeltaCoder(centre=0.1, size=0.2))
    return two_stage_detector(config, num_classes, [stage], class_specific=True)
