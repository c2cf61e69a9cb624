"""Dual assignment: GFL with a second class branch that assigns one point to each object and needs no NMS."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.config import Config
from detectors.dense import DenseDetector, Supervision
from detectors.heads.dense import CorrectionBranch, OwnHeads, SharedHead
from detectors.heads.dual import DualHead, Inference
from detectors.losses.classification import QualityFocalLoss
from detectors.nms import NMSConfig
from detectors.registry import variant
from detectors.search_range import Choice, PredictionSetting, Range
from detectors.variants.gfl import GFLConfig, gfl_detector, gfl_supervision, make_points


class OneToOneConfig(Config):
    """The one-to-one branch."""

    convs: Annotated[int, Field(ge=0, le=8), Choice(1, 2, 4)] = 2
    """Its 3 x 3 convolutions before the last."""
    alpha: Annotated[float, Field(ge=0), Range(0.25, 2)] = 1.0
    """Exponent of the score in its alignment metric."""
    beta: Annotated[float, Field(ge=0), Range(1, 8)] = 2.0
    """Exponent of the IoU in its alignment metric; 6 in TOOD. Small differences between the IoU of neighbouring points cannot
    be predicted; with a low exponent the positive point of an object changes less often."""
    quality_beta: Annotated[float, Field(ge=0), Range(0, 2)] = 0.0
    """Exponent of its quality focal loss; 0 is cross-entropy, which suppresses duplicates best."""


class DualConfig(GFLConfig):
    """Settings of dual assignment: those of GFL for the one-to-many head, and those of the one-to-one branch."""

    inference: Annotated[Inference, PredictionSetting()] = "one_to_one"
    """Class branch that predicts: `one_to_one`, without NMS; or `one_to_many`, with `nms.method=hard`. Both are always
    trained."""
    one_to_one: OneToOneConfig = OneToOneConfig()
    nms: NMSConfig = NMSConfig(method="none", iou=0.6)


@variant(
    "dual",
    config=DualConfig,
    priors=make_points,
    source="Wang et al. 2024, arXiv:2405.14458",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: DualConfig, num_classes: int) -> DenseDetector:
    """Dual assignment: trained with many and with one point per object, predicts without NMS."""
    single = config.one_to_one
    one_to_many = gfl_supervision(config)
    one_to_one = Supervision(
        TaskAlignedAssigner(1, single.alpha, single.beta), QualityFocalLoss(single.quality_beta), boxes=False
    )

    def dual(head: SharedHead | OwnHeads) -> DualHead:
        channels, towers = one_to_one.class_loss.channels(num_classes), config.head
        branch = CorrectionBranch(
            towers.channels, config.levels, channels, single.convs, towers.norm, towers.conv
        )
        return DualHead(head, branch, config.inference)

    used, other = (one_to_one, one_to_many) if config.inference == "one_to_one" else (one_to_many, one_to_one)
    return gfl_detector(config, num_classes, used, other, dual)
