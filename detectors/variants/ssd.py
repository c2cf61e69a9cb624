"""SSD: default boxes on the backbone's own features, softmax with hard negatives, smooth L1 loss on the box codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners import AnchorAssigner, anchor_assigner
from detectors.assigners.overlap import Forced
from detectors.backbones import make_backbone
from detectors.candidates import CandidatesConfig
from detectors.coders import DeltaCoder
from detectors.dense import DenseConfig, DenseDetector, Supervision
from detectors.heads.dense import HeadConv, LevelHead
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import CrossEntropyLoss
from detectors.necks.fpn import FPN
from detectors.necks.pan import PAN, pyramid
from detectors.necks.ssd_extras import Block, SSDExtras
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, Sizes, Spacing, default_boxes
from detectors.registry import variant
from detectors.search_range import Choice, OnlyIf, PriorSetting, Range


class SSDConfig(DenseConfig):
    """Settings of SSD. The preset `ssd300-vgg16` is the paper's network; these defaults suit small images."""

    levels: int = Field(default=4, ge=1, le=8)
    """Number of feature levels; extra layers make those that the backbone does not have."""
    neck: Annotated[Literal["extras", "fpn", "pan"], Choice("extras", "fpn")] = "extras"
    """`extras`: the backbone's features unchanged, then extra layers (the paper); `fpn`, `pan`: a feature pyramid."""
    neck_channels: tuple[int, ...] = (128,)
    """Channels of the extra levels, one number for all or one per level; a pyramid uses the first."""
    neck_middle: tuple[int, ...] = ()
    """Channels before the 3 x 3 convolution of each extra level; empty: half of `neck_channels`."""
    neck_block: Block = "batch"
    """Convolutions of the extra levels: with `batch` normalisation, `plain` (the paper), or `separable` (SSDLite)."""
    unpadded: int = Field(default=0, ge=0)
    """Number of last extra levels that use unpadded convolutions instead of stride 2 (SSD300: 2)."""
    scale_min: Annotated[float, Range(0.05, 0.3), PriorSetting()] = 0.1
    """Scale of the finest level's default boxes, as a fraction of the image's side."""
    scale_max: Annotated[float, Range(0.5, 0.95), PriorSetting()] = 0.7
    """Scale of the coarsest level's default boxes, as a fraction of the image's side."""
    scales: Annotated[tuple[float, ...], PriorSetting()] = ()
    """Scales of all levels and one more, which replace `scale_min` and `scale_max`."""
    ratios: Annotated[tuple[tuple[float, ...], ...], PriorSetting()] = ((2.0, 3.0),)
    """Aspect ratios (width / height) besides 1, one list for all levels or one per level; each also adds its inverse."""
    shapes: Annotated[Sizes, PriorSetting()] = ()
    """(width, height) in pixels of each level's default boxes; replaces scales and ratios. `bench anchors` finds such
    shapes."""
    steps: Annotated[tuple[int, ...], PriorSetting()] = ()
    """Distance in pixels between the cells of each level; empty: the image's side divided by the number of cells."""
    stretch: Annotated[bool, PriorSetting()] = False
    """Stretch default boxes with an image that is not square; otherwise their ratios hold in pixels."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Range(0, 0.1)] = 0.0
    """Part of the target of the class loss that is spread evenly over background and all classes."""
    head_conv: HeadConv = "conv"
    """Convolution that predicts classes and boxes at each level: a 3 x 3 `conv`; a depthwise `separable` one (SSDLite);
    or a `light` one, separable without normalisation (the mb_tiny face detectors)."""
    assigner: Annotated[AnchorAssigner, Choice("overlap", "atss", "task_aligned")] = "overlap"
    """Which default boxes are positive: `overlap`, those with enough IoU (the paper); `atss`, `task_aligned` (TOOD) or
    `hungarian`, which have no settings here."""
    positive: Annotated[float, Range(0.3, 0.7), OnlyIf("assigner", options=["overlap"])] = 0.5
    """overlap: smallest IoU of a positive default box."""
    band: Annotated[float, Field(ge=0, le=0.5), Range(0.0, 0.3), OnlyIf("assigner", options=["overlap"])] = (
        0.0
    )
    """overlap: boxes with an IoU of `positive` - `band` to `positive` are ignored; below, they are background."""
    forced: Annotated[Forced, Choice("own", "none"), OnlyIf("assigner", options=["overlap"])] = "own"
    """overlap: boxes that are positive at any IoU: `own`, the best one of each object, even if another object has it
    (the paper); `tied`, all that are equally best, each for the object with which its own IoU is highest; `none`."""
    negatives: Annotated[float, Range(1, 10)] = 3.0
    """Hard negatives per positive."""
    box_loss: Annotated[BoxLossName, Choice("smooth_l1", "giou", "ciou")] = "smooth_l1"
    """Box regression loss."""
    candidates: CandidatesConfig = CandidatesConfig(score=0.01, top_k=400, per="class")
    nms: NMSConfig = NMSConfig(iou=0.45)


def make_default_boxes(config: SSDConfig, strides: Sequence[int]) -> GridPriors:
    """Default boxes for levels of these strides."""
    spacing: Spacing = "stride" if config.steps else "fit"
    strides = config.steps or strides
    if config.shapes:
        return GridPriors(config.shapes, strides, "pixel", spacing)
    shapes = default_boxes(config.levels, config.scale_min, config.scale_max, config.ratios, config.scales)
    return GridPriors(shapes, strides, "sides" if config.stretch else "image", spacing)


@variant(
    "ssd",
    config=SSDConfig,
    priors=make_default_boxes,
    source="Liu et al. 2016, arXiv:1512.02325",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: SSDConfig, num_classes: int) -> DenseDetector:
    """SSD: default boxes at several scales, softmax with hard negative mining."""
    backbone = make_backbone(config.backbone)
    neck: FPN | PAN | SSDExtras
    if config.neck == "extras":
        neck = SSDExtras(
            backbone.channels,
            backbone.strides,
            config.levels,
            config.neck_channels,
            config.neck_middle,
            config.neck_block,
            config.unpadded,
        )
    else:
        channels = config.neck_channels[0]
        neck = pyramid(config.neck, backbone.channels, backbone.strides, channels, config.levels)
    priors = make_default_boxes(config, neck.strides)
    coder, class_loss = (
        DeltaCoder(centre=0.1, size=0.2),
        CrossEntropyLoss(config.negatives, config.label_smoothing),
    )
    head = LevelHead(
        neck.channels,
        priors.per_cell,
        class_loss.channels(num_classes),
        coder.channels,
        class_loss.bias(),
        config.head_conv,
    )
    return DenseDetector(
        config,
        num_classes,
        box_weight=config.box_weight,
        backbone=backbone,
        neck=neck,
        head=head,
        priors=priors,
        supervision=Supervision(
            anchor_assigner(config.assigner, config.positive, config.band, config.forced), class_loss
        ),
        coder=coder,
        box_loss=box_loss(config.box_loss),
    )
