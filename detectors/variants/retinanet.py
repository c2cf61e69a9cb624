"""RetinaNet: anchors on a feature pyramid, focal loss, L1 on codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners import adaptive
from detectors.assigners.overlap import Forced, OverlapAssigner
from detectors.coders import DeltaCoder
from detectors.dense import DenseDetector
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, Sizes, octave_anchors
from detectors.pyramid import FocalConfig, PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, Range


class RetinaNetConfig(PyramidConfig):
    """Settings of RetinaNet. The paper's own network is the preset `retinanet-r50-fpn`; these suit small images."""

    focal: FocalConfig = FocalConfig()
    anchor_scale: Annotated[float, Range(1, 8, log=True)] = 2.0
    """Side of each level's smallest square, in strides."""
    octaves: Annotated[int, Choice(1, 2, 3)] = 3
    """Anchor sizes within a factor of two."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Heights over widths of the anchors."""
    shapes: Sizes = ()
    """Widths and heights in pixels of each level's anchors, as many at every level, instead of scale, octaves and
    ratios: for example what `bench anchors` finds."""
    assigner: Annotated[
        Literal["overlap", "atss", "task_aligned", "hungarian"], Choice("overlap", "atss", "task_aligned")
    ] = "overlap"
    """Which anchors must find an object: those that overlap it enough (the paper), or another idea."""
    positive: Annotated[float, Range(0.3, 0.7)] = 0.5
    """overlap: IoU with an object from which on an anchor must find it."""
    band: Annotated[float, Field(ge=0, le=0.5), Range(0.0, 0.3)] = 0.1
    """overlap: anchors whose IoU is at most so much below `positive` do not count; those below are background."""
    forced: Annotated[Forced, Choice("tied", "none")] = "tied"
    """overlap: which anchors an object gets however poorly they overlap it: `own`, its best, taken from any other
    object; `tied`, all its equally best, each for the object that it overlaps most itself (torchvision); `none` (the
    paper)."""
    grid: Literal["middle", "corner"] = "middle"
    """Where a cell's anchors are: about its middle; `corner`: about its upper left, rounded to pixels, as in
    torchvision's models."""
    normalise: Literal["batch", "image"] = "batch"
    """Divide the losses by the positives of the batch, or of each image and then average (the paper)."""
    box_loss: Annotated[BoxLossName, Choice("l1", "smooth_l1", "giou")] = "l1"
    """What a misplaced box costs."""
    nms: NMSConfig = NMSConfig(score=0.05, iou=0.5, max_dets=100)


@variant(
    "retinanet",
    config=RetinaNetConfig,
    source="Lin et al. 2017, arXiv:1708.02002",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: RetinaNetConfig, num_classes: int) -> DenseDetector:
    """RetinaNet: anchors on a feature pyramid, focal loss against easy background."""
    overlap = OverlapAssigner(config.positive, config.positive - config.band, config.forced)
    return pyramid_detector(
        config,
        num_classes,
        partial(make_priors, config),
        assigner=overlap if config.assigner == "overlap" else adaptive(config.assigner),
        coder=DeltaCoder(),
        class_loss=FocalLoss(config.focal.alpha, config.focal.gamma),
        box_loss=box_loss(config.box_loss),
        normalise=config.normalise,
    )


def make_priors(config: RetinaNetConfig, strides: Sequence[int]) -> GridPriors:
    """The anchors that the settings describe, for levels of these strides."""
    corner = config.grid == "corner"
    rule = octave_anchors(strides, config.anchor_scale, config.octaves, config.ratios, rounded=corner)
    return GridPriors(
        config.shapes or rule, strides, "pixel", *(("floor", 0.0) if corner else ("stride", 0.5))
    )
