"""Two-stage detectors on a feature pyramid: settings and assembly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners.sampling import BalancedSampler
from detectors.backbones import make_backbone
from detectors.config import Config
from detectors.detector_config import DetectorConfig
from detectors.heads.dense import ProposalHead
from detectors.heads.roi import PyramidRoIAlign, RoIHead
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import CrossEntropyLoss
from detectors.necks.pan import pyramid
from detectors.priors import GridPriors, Sizes, octave_anchors
from detectors.proposals import ProposalConfig, ProposalNetwork
from detectors.pyramid import NeckConfig
from detectors.search_range import Choice, OnlyIf, PriorSetting, Range
from detectors.two_stage import Stage, TwoStageDetector
from metrics.errors import InputError


class RegionConfig(Config):
    """Regions: what is pooled, drawn for the loss, and predicted from. The defaults are for small images."""

    samples: Annotated[int, Field(ge=1), Choice(32, 64, 128)] = 64
    """Regions of an image that are drawn for the loss; 64 in Fast R-CNN, 512 in FPN."""
    positives: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.5)] = 0.25
    """Largest share of positives in the drawn regions."""
    size: Annotated[int, Field(ge=1, le=14), Choice(5, 7)] = 7
    """Rows and columns of bins of the pooled features."""
    sampling: Annotated[int, Field(ge=1, le=4), Choice(1, 2)] = 1
    """Points per bin in each direction; 2 in torchvision's models, whose regions cover more cells."""
    scale: Annotated[float, Field(gt=0), Range(4, 28, log=True)] = 14.0
    """Side of the smallest region that is pooled from a level, in strides; smaller ones are pooled from finer levels. 14 in
    FPN: 224 pixels at stride 16."""
    aligned: Annotated[bool, Choice(False, True)] = True
    """Shift regions by half a cell, because the first cell's centre is at half a stride; false in torchvision's models."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Range(0, 0.1)] = 0.0
    """Part of the target of the class loss that is spread evenly over background and all classes."""
    hidden: Annotated[int, Field(ge=8), Choice(128, 256, 512)] = 256
    """Width of the two fully connected layers; 1024 in FPN."""
    beta: Annotated[float, Field(ge=0), Range(0.05, 1.0), OnlyIf("box_loss", options=["smooth_l1"])] = 1 / 9
    """smooth_l1: difference of codes above which the loss is linear; 1 in Fast R-CNN, 1/9 in torchvision's models."""


class TwoStageConfig(DetectorConfig):
    """Settings of all two-stage detectors."""

    levels: int = Field(default=4, ge=1, le=8)
    """Number of pyramid levels with anchors, starting at the backbone's finest. Regions are pooled from those at strides of
    the backbone."""
    head: NeckConfig = NeckConfig(coarser="pool")
    proposals: ProposalConfig = ProposalConfig()
    regions: RegionConfig = RegionConfig()
    anchor_scale: Annotated[float, Range(1, 8, log=True), PriorSetting()] = 2.0
    """Side of each level's smallest square anchor, in strides; 8 in FPN."""
    octaves: Annotated[int, Choice(1, 2, 3), PriorSetting()] = 2
    """Number of anchor sizes within a factor of two; 1 in FPN."""
    ratios: Annotated[tuple[float, ...], PriorSetting()] = (0.5, 1.0, 2.0)
    """Aspect ratios (height / width) of the anchors."""
    shapes: Annotated[Sizes, PriorSetting()] = ()
    """(width, height) in pixels of each level's anchors, the same number at every level; replaces `anchor_scale`,
    `octaves` and `ratios`. `bench anchors` finds such shapes."""
    grid: Annotated[Literal["middle", "corner"], PriorSetting()] = "middle"
    """Centre of a cell's anchors: its `middle`; its upper left `corner`, with anchors rounded to whole pixels, as in
    torchvision's models."""
    box_loss: Annotated[BoxLossName, Choice("smooth_l1", "l1", "giou")] = "smooth_l1"
    """Box regression loss of regions; that of proposals is always smooth L1."""
    box_weight: float = Field(default=1.0, ge=0)
    """Weight of the regions' box loss relative to their class loss."""


def make_anchors(config: TwoStageConfig, strides: Sequence[int]) -> GridPriors:
    """Anchors for levels of these strides."""
    corner = config.grid == "corner"
    rule = octave_anchors(strides, config.anchor_scale, config.octaves, config.ratios, rounded=corner)
    return GridPriors(
        config.shapes or rule, strides, "pixel", *(("floor", 0.0) if corner else ("stride", 0.5))
    )


def two_stage_detector(
    config: TwoStageConfig, num_classes: int, stages: Sequence[Stage], class_specific: bool
) -> TwoStageDetector:
    """Build a detector with one head per stage, and the backbone, pyramid and proposals of the settings.

    Args:
        config: settings.
        num_classes: C.
        stages: of the heads.
        class_specific: predict a box for each class; otherwise one for all.

    Raises:
        InputError: levels have different numbers of anchors.
    """
    backbone = make_backbone(config.backbone)
    channels, settings = config.head.channels, config.regions
    neck = pyramid(
        config.head.neck, backbone.channels, backbone.strides, channels, config.levels, config.head.coarser
    )
    priors = make_anchors(config, neck.strides)
    if len(set(priors.per_cell)) > 1:
        raise InputError(
            f"shapes: {', '.join(map(str, priors.per_cell))} anchors per cell at the levels, which share a head; "
            "give the same number at every level"
        )
    class_loss = CrossEntropyLoss(None, settings.label_smoothing)
    pooled = neck.strides[: len(backbone.strides)]
    return TwoStageDetector(
        config,
        num_classes,
        backbone=backbone,
        neck=neck,
        proposals=ProposalNetwork(
            config.proposals,
            ProposalHead(channels, priors.per_cell[0], convs=config.proposals.convs),
            priors,
            config.ignore_overlap,
        ),
        pool=PyramidRoIAlign(pooled, settings.size, settings.sampling, settings.scale, settings.aligned),
        heads=[
            RoIHead(
                channels,
                settings.size,
                settings.hidden,
                class_loss.channels(num_classes),
                num_classes if class_specific else 1,
            )
            for _ in stages
        ],
        stages=stages,
        sampler=BalancedSampler(settings.samples, settings.positives),
        class_loss=class_loss,
        box_loss=box_loss(config.box_loss, settings.beta),
        box_weight=config.box_weight,
    )
