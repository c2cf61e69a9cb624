"""Cascade R-CNN: heads in a row, each trained for a higher IoU on the boxes of the one before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from detectors.assigners.overlap import OverlapAssigner
from detectors.coders import DeltaCoder
from detectors.registry import variant
from detectors.two_stage import Stage, TwoStageDetector
from detectors.two_stage_pyramid import TwoStageConfig, make_anchors, two_stage_detector
from metrics.plurals import plural


class CascadeRCNNConfig(TwoStageConfig):
    """Settings of Cascade R-CNN; the defaults suit small images."""

    positive: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.5, 0.6, 0.7), min_length=1)
    """Smallest IoU of a positive region at each stage; others are background."""
    stage_weights: tuple[Annotated[float, Field(ge=0)], ...] = (1.0, 0.5, 0.25)
    """Weight of the losses of each stage."""

    @model_validator(mode="after")
    def _one_weight_per_stage(self) -> CascadeRCNNConfig:
        if len(self.stage_weights) != len(self.positive):
            raise ValueError(
                f"stage_weights: {len(self.stage_weights)} given for {plural(len(self.positive), 'stage')}; "
                "give as many as in positive"
            )
        return self


@variant(
    "cascade_rcnn",
    config=CascadeRCNNConfig,
    priors=make_anchors,
    source="Cai and Vasconcelos 2018, arXiv:1712.00726",
    defaults={"train.lr": 0.002, "train.batch": 8},
)
def build(config: CascadeRCNNConfig, num_classes: int) -> TwoStageDetector:
    """Cascade R-CNN: Faster R-CNN with three heads in a row, each for a higher IoU than the one before."""
    stages = [
        Stage(OverlapAssigner(iou, iou, "none"), DeltaCoder(0.1 / number, 0.2 / number), weight)
        for number, (iou, weight) in enumerate(
            zip(config.positive, config.stage_weights, strict=True), start=1
        )
    ]
    return two_stage_detector(config, num_classes, stages, class_specific=False)
