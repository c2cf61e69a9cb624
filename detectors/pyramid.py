"""Dense detectors with one kind of head over a feature pyramid: their settings, and how their parts are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from detectors.assigners.types import Assigner
from detectors.backbones import make_backbone
from detectors.coders import BoxCoder
from detectors.config import Config
from detectors.dense import DenseConfig, DenseDetector
from detectors.heads.dense import Norm, OwnHeads, SharedHead
from detectors.losses.box import BoxLoss
from detectors.losses.classification import ClassLoss
from detectors.losses.quality import QualityLoss
from detectors.necks.fpn import Coarser
from detectors.necks.pan import Pyramid, pyramid
from detectors.priors import GridPriors
from detectors.search_range import Choice, Range
from metrics.errors import InputError


class FocalConfig(Config):
    """Focal loss."""

    alpha: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.9)] = 0.25
    """Weight of positives against negatives."""
    gamma: Annotated[float, Field(ge=0), Range(0, 5)] = 2.0
    """How much less the easy ones count."""


class HeadConfig(Config):
    """The head, and the pyramid below it."""

    neck: Annotated[Pyramid, Choice("fpn", "pan")] = "fpn"
    """`fpn`: the feature pyramid; `pan`: with a path back from fine to coarse."""
    coarser: Coarser = "pyramid"
    """What levels coarser than the backbone's are made of, such as P6 and P7: strided convolutions on the coarsest
    level of the `pyramid` (FCOS), or on that of the `backbone` (RetinaNet's paper); `pool`: every other cell."""
    channels: Annotated[int, Field(ge=8), Choice(32, 64, 128)] = 64
    """Of the pyramid and the towers; 256 in the papers."""
    convs: Annotated[int, Field(ge=0, le=8), Choice(1, 2, 4)] = 1
    """Convolutions in each tower; 4 in the papers."""
    norm: Annotated[Norm, Choice("batch", "group")] = "batch"
    """Normalisation in the towers. BatchNorm keeps statistics of its own for each level, GroupNorm needs none."""
    towers: Literal["shared", "own"] = "shared"
    """One pair of towers for all levels (the papers), or for each level its own."""


class PyramidConfig(DenseConfig):
    """Settings of all variants with such a head."""

    levels: int = Field(default=4, ge=1, le=8)
    """Pyramid levels, from the backbone's finest on."""
    head: HeadConfig = HeadConfig()


P = TypeVar("P", bound=PyramidConfig)


def pyramid_detector(
    config: P,
    num_classes: int,
    make_priors: Callable[[P, Sequence[int]], GridPriors],
    *,
    assigner: Assigner,
    coder: BoxCoder,
    class_loss: ClassLoss,
    box_loss: BoxLoss,
    quality_loss: QualityLoss | None = None,
    level_scale: bool = False,
    normalise: Literal["batch", "image"] = "batch",
) -> DenseDetector:
    """The detector of these parts, with the backbone, the pyramid and the head that the settings describe.

    Args:
        config: settings.
        num_classes: C.
        make_priors: makes the priors from the settings and the strides of the levels.
        assigner: this and all that follow: see `DenseDetector`.
        coder: how boxes are written.
        class_loss: what a wrong class costs.
        box_loss: what a misplaced box costs.
        quality_loss: what the quality branch should say; None: there is none.
        level_scale: whether each level multiplies its codes by a learned number.
        normalise: by the positives of what.

    Raises:
        InputError: levels with different numbers of priors, for a head that they share.
    """
    backbone = make_backbone(config.backbone)
    of = config.head
    neck = pyramid(of.neck, backbone.channels, backbone.strides, of.channels, config.levels, of.coarser)
    priors = make_priors(config, neck.strides)
    if of.towers == "shared" and len(set(priors.per_cell)) > 1:
        raise InputError(
            f"shapes: {', '.join(map(str, priors.per_cell))} priors at the levels, whose head is shared; "
            "give as many at every level, or set head.towers=own"
        )

    def head(levels: int, per_cell: int) -> SharedHead:
        return SharedHead(
            of.channels,
            levels,
            per_cell,
            class_loss.channels(num_classes),
            coder.channels,
            class_loss.bias(),
            of.convs,
            of.norm,
            quality=quality_loss is not None,
            level_scale=level_scale,
        )

    return DenseDetector(
        config,
        num_classes,
        backbone=backbone,
        neck=neck,
        head=(
            head(config.levels, priors.per_cell[0])
            if of.towers == "shared"
            else OwnHeads(head(1, per_cell) for per_cell in priors.per_cell)
        ),
        priors=priors,
        assigner=assigner,
        coder=coder,
        class_loss=class_loss,
        box_loss=box_loss,
        quality_loss=quality_loss,
        normalise=normalise,
    )
