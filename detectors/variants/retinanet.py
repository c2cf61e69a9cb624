"""RetinaNet: anchors on a feature pyramid, focal loss, L1 loss on the box codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.assigners import AnchorAssigner, anchor_assigner
from detectors.assigners.overlap import Forced
from detectors.coders import DeltaCoder
from detectors.dense import DenseDetector, Supervision
from detectors.losses.box import BoxLossName, box_loss
from detectors.losses.classification import FocalLoss
from detectors.priors import GridPriors, Sizes, octave_anchors
from detectors.pyramid import FocalConfig, PyramidConfig, pyramid_detector
from detectors.registry import variant
from detectors.search_range import Choice, OnlyIf, PriorSetting, Range


class RetinaNetConfig(PyramidConfig):
    """Settings of RetinaNet. The preset `retinanet-r50-fpn` is the paper's network; these defaults suit small images."""

    focal: FocalConfig = FocalConfig()
    anchor_scale: Annotated[float, Range(1, 8, log=True), PriorSetting()] = 2.0
    """Side of each level's smallest square anchor, in strides."""
    octaves: Annotated[int, Choice(1, 2, 3), PriorSetting()] = 3
    """Number of anchor sizes within a factor of two."""
    ratios: Annotated[tuple[float, ...], PriorSetting()] = (0.5, 1.0, 2.0)
    """Aspect ratios (height / width) of the anchors."""
    shapes: Annotated[Sizes, PriorSetting()] = ()
    """(width, height) in pixels of each level's anchors, the same number at every level; replaces `anchor_scale`,
    `octaves` and `ratios`. `bench anchors` finds such shapes."""
    assigner: Annotated[AnchorAssigner, Choice("overlap", "atss", "task_aligned")] = "overlap"
    """Which anchors are positive: `overlap`, those with enough IoU (the paper); `atss`, `task_aligned` (TOOD) or
    `hungarian`, which have no settings here."""
    positive: Annotated[float, Range(0.3, 0.7), OnlyIf("assigner", options=["overlap"])] = 0.5
    """overlap: smallest IoU of a positive anchor."""
    band: Annotated[float, Field(ge=0, le=0.5), Range(0.0, 0.3), OnlyIf("assigner", options=["overlap"])] = (
        0.1
    )
    """overlap: anchors with an IoU of `positive` - `band` to `positive` are ignored; below, they are background."""
    forced: Annotated[Forced, Choice("tied", "none"), OnlyIf("assigner", options=["overlap"])] = "tied"
    """overlap: anchors that are positive at any IoU: `own`, the best one of each object, even if another object has
    it; `tied`, all that are equally best, each for the object with which its own IoU is highest (torchvision); `none`
    (the paper)."""
    grid: Annotated[Literal["middle", "corner"], PriorSetting()] = "middle"
    """Centre of a cell's anchors: its `middle`; its upper left `corner`, with anchors rounded to whole pixels, as in
    torchvision's models."""
    normalise: Literal["batch", "image"] = "batch"
    """Divide the losses by the number of positives in the `batch`, or in each `image` and then average (the paper)."""
    box_loss: Annotated[BoxLossName, Choice("l1", "smooth_l1", "giou")] = "l1"
    """Box regression loss."""


def make_anchors(config: RetinaNetConfig, strides: Sequence[int]) -> GridPriors:
    """Anchors for levels of these strides."""
    corner = config.grid == "corner"
    rule = octave_anchors(strides, config.anchor_scale, config.octaves, config.ratios, rounded=corner)
    return GridPriors(
        config.shapes or rule, strides, "pixel", *(("floor", 0.0) if corner else ("stride", 0.5))
    )


@variant(
    "retinanet",
    config=RetinaNetConfig,
    priors=make_anchors,
    source="Lin et al. 2017, arXiv:1708.02002",
    defaults={"train.lr": 0.005, "train.batch": 8},
)
def build(config: RetinaNetConfig, num_classes: int) -> DenseDetector:
    """RetinaNet: anchors on a feature pyramid, with focal loss against easy background."""
    return pyramid_detector(
        config,
        num_classes,
        make_anchors,
        supervision=Supervision(
            anchor_assigner(config.assigner, config.positive, config.band, config.forced),
            FocalLoss(config.focal.alpha, config.focal.gamma),
        ),
        coder=DeltaCoder(),
        box_loss=box_loss(config.box_loss),
        normalise=config.normalise,
    )
