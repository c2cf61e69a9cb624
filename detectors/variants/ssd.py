"""SSD: default boxes on the backbone's own features, softmax with hard negatives, smooth L1 on codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners import adaptive
from detectors.assigners.overlap import Forced, OverlapAssigner
from detectors.backbones import make_backbone
from detectors.candidates import CandidatesConfig
from detectors.coders import DeltaCoder
from detectors.dense import DenseConfig, DenseDetector
from detectors.heads.dense import HeadConv, LevelHead
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import CrossEntropyLoss
from detectors.necks.fpn import FPN
from detectors.necks.pan import PAN, pyramid
from detectors.necks.ssd_extras import Block, SSDExtras
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, Sizes, Spacing, default_boxes
from detectors.registry import variant
from detectors.search_range import Choice, Range


class SSDConfig(DenseConfig):
    """Settings of SSD. The paper's own network is the preset `ssd300-vgg16`; these suit small images."""

    levels: int = Field(default=4, ge=1, le=8)
    """Feature levels; beyond the backbone's they are made by extra layers."""
    neck: Annotated[Literal["extras", "fpn", "pan"], Choice("extras", "fpn")] = "extras"
    """`extras`: the backbone's features as they are (the paper); `fpn`, `pan`: a feature pyramid over them."""
    neck_channels: tuple[int, ...] = (128,)
    """Channels of extra levels, one for all or one for each; of the pyramid, the first."""
    neck_middle: tuple[int, ...] = ()
    """What extra levels narrow to before their 3 x 3 convolution; none given: half of `neck_channels`."""
    neck_block: Block = "batch"
    """Extra levels: convolutions with `batch` normalisation, `plain` (the paper), or `separable` (SSDLite)."""
    unpadded: int = Field(default=0, ge=0)
    """So many of the last extra levels cut off the border instead of taking every other cell (SSD300: 2)."""
    scale_min: Annotated[float, Range(0.05, 0.3)] = 0.1
    """Scale of the finest level's default boxes, as a share of the image."""
    scale_max: Annotated[float, Range(0.5, 0.95)] = 0.7
    """Scale of the coarsest level's default boxes."""
    scales: tuple[float, ...] = ()
    """Scales instead of that rule: one for each level and one more."""
    ratios: tuple[tuple[float, ...], ...] = ((2.0, 3.0),)
    """Widths over heights beside 1, for all levels or for each; each stands for its inverse, too."""
    shapes: Sizes = ()
    """Widths and heights in pixels of each level's default boxes, instead of scales and ratios: for example what
    `bench anchors` finds."""
    steps: tuple[int, ...] = ()
    """Pixels between the cells of each level; none given: the image over its cells."""
    stretch: bool = False
    """Default boxes stretch with an image that is not square; off: their ratios hold in pixels."""
    head_conv: HeadConv = "conv"
    """What says class and box at each level: a 3 x 3 `conv`; a depthwise-`separable` one, as in SSDLite; or a `light`
    one without normalisation, as in the mb_tiny face detectors."""
    assigner: Annotated[
        Literal["overlap", "atss", "task_aligned", "hungarian"], Choice("overlap", "atss", "task_aligned")
    ] = "overlap"
    """Which default boxes must find an object: those that overlap it enough (the paper), or another idea."""
    positive: Annotated[float, Range(0.3, 0.7)] = 0.5
    """overlap: IoU with an object from which on a prior must find it."""
    band: Annotated[float, Field(ge=0, le=0.5), Range(0.0, 0.3)] = 0.0
    """overlap: priors whose IoU is at most so much below `positive` do not count; those below are background."""
    forced: Annotated[Forced, Choice("own", "none")] = "own"
    """overlap: which priors an object gets however poorly they overlap it: `own`, its best,
    taken from any other object (the paper); `tied`, all its equally best, each for the object that it overlaps most
    itself; `none`."""
    negatives: Annotated[float, Range(1, 10)] = 3.0
    """Hard negatives per positive."""
    box_loss: Annotated[BoxLossName, Choice("smooth_l1", "giou", "ciou")] = "smooth_l1"
    """What a misplaced box costs."""
    candidates: CandidatesConfig = CandidatesConfig(score=0.01, top_k=400, per="class")
    nms: NMSConfig = NMSConfig(score=0.01, iou=0.45, max_dets=200)


@variant(
    "ssd",
    config=SSDConfig,
    source="Liu et al. 2016, arXiv:1512.02325",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: SSDConfig, num_classes: int) -> DenseDetector:
    """SSD: default boxes at several scales, softmax with hard negative mining."""
    backbone = make_backbone(config.backbone)
    neck: FPN | PAN | SSDExtras
    if config.neck != "extras":
        channels = config.neck_channels[0]
        neck = pyramid(config.neck, backbone.channels, backbone.strides, channels, config.levels)
    else:
        neck = SSDExtras(
            backbone.channels,
            backbone.strides,
            config.levels,
            config.neck_channels,
            config.neck_middle,
            config.neck_block,
            config.unpadded,
        )
    priors = make_priors(config, neck.strides)
    overlap = OverlapAssigner(config.positive, config.positive - config.band, config.forced)
    assigner = overlap if config.assigner == "overlap" else adaptive(config.assigner)
    coder, class_loss = DeltaCoder(centre=0.1, size=0.2), CrossEntropyLoss(config.negatives)
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
        backbone=backbone,
        neck=neck,
        head=head,
        priors=priors,
        assigner=assigner,
        coder=coder,
        class_loss=class_loss,
        box_loss=box_loss(config.box_loss),
    )


def make_priors(config: SSDConfig, strides: Sequence[int]) -> GridPriors:
    """The default boxes that the settings describe, for levels of these strides."""
    spacing: Spacing = "stride" if config.steps else "fit"
    strides = config.steps or strides
    if config.shapes:
        return GridPriors(config.shapes, strides, "pixel", spacing)
    shapes = default_boxes(config.levels, config.scale_min, config.scale_max, config.ratios, config.scales)
    return GridPriors(shapes, strides, "sides" if config.stretch else "image", spacing)
