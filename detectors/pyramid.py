"""Dense detectors with a feature pyramid and a `SharedHead`: settings and assembly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from torch import Tensor, nn

from detectors.backbones import make_backbone
from detectors.coders import BoxCoder
from detectors.config import Config
from detectors.dense import DenseConfig, DenseDetector, Supervision
from detectors.heads.dense import Norm, OwnHeads, SharedHead, TowerConv
from detectors.losses.box import BoxLoss
from detectors.losses.quality import QualityLoss
from detectors.necks.fpn import Coarser
from detectors.necks.pan import Pyramid, pyramid
from detectors.priors import GridPriors
from detectors.search_range import Choice, Range
from metrics.errors import InputError


class FocalConfig(Config):
    """Focal loss."""

    alpha: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.9)] = 0.25
    """Weight of positives; negatives have 1 - alpha."""
    gamma: Annotated[float, Field(ge=0), Range(0, 5)] = 2.0
    """Focusing parameter; a higher value reduces the loss of easy examples."""


class NeckConfig(Config):
    """The feature pyramid."""

    neck: Annotated[Pyramid, Choice("fpn", "pan")] = "fpn"
    """`fpn`: the feature pyramid; `pan`: with an additional path from fine to coarse levels."""
    coarser: Coarser = "pyramid"
    """How levels coarser than the backbone's are made, such as P6 and P7: by strided convolutions from the coarsest level
    of the `pyramid` (FCOS) or of the `backbone` (RetinaNet's paper); `pool`: from every other cell."""
    channels: Annotated[int, Field(ge=8), Choice(32, 64, 128)] = 64
    """Channels of the pyramid and the towers; 256 in the papers."""


class HeadConfig(NeckConfig):
    """The head and the feature pyramid."""

    convs: Annotated[int, Field(ge=0, le=8), Choice(1, 2, 4)] = 1
    """Convolutions in each tower; 4 in the papers."""
    conv: TowerConv = "standard"
    """Kind of these convolutions: `standard`, or `deformable` (Zhu et al. 2019), which read at learned places and cost more."""
    norm: Annotated[Norm, Choice("batch", "group")] = "batch"
    """Normalisation in the towers: `batch` (with statistics for each level), `group`, or `none`."""
    towers: Literal["shared", "own"] = "shared"
    """One pair of towers for all levels, `shared` (the papers), or one pair per level, `own`."""


class PyramidConfig(DenseConfig):
    """Settings of all variants with this head."""

    levels: int = Field(default=4, ge=1, le=8)
    """Number of pyramid levels, starting at the backbone's finest."""
    head: HeadConfig = HeadConfig()


P = TypeVar("P", bound=PyramidConfig)

MakeHead = Callable[[SharedHead | OwnHeads], nn.Module]
"""Makes the head of a detector from that of the settings."""


def same_head(head: SharedHead | OwnHeads) -> nn.Module:
    """The head of the settings itself."""
    return head


def pyramid_detector(
    config: P,
    num_classes: int,
    make_priors: Callable[[P, Sequence[int]], GridPriors],
    *,
    supervision: Supervision,
    coder: BoxCoder,
    box_loss: BoxLoss,
    quality_loss: QualityLoss | None = None,
    level_scale: bool = False,
    normalise: Literal["batch", "image"] = "batch",
    auxiliary: Supervision | None = None,
    box_weights: Callable[[Tensor, Tensor], Tensor] | None = None,
    make_head: MakeHead = same_head,
) -> DenseDetector:
    """Build a detector from these parts, and the backbone, pyramid and head of the settings.

    Args:
        config: settings.
        num_classes: C.
        make_priors: makes the priors from the settings and the strides of the levels.
        supervision: see `DenseDetector`.
        coder: see `DenseDetector`.
        box_loss: see `DenseDetector`.
        quality_loss: of the quality branch; None for no such branch.
        level_scale: see `SharedHead`.
        normalise: see `DenseDetector`.
        auxiliary: see `DenseDetector`.
        box_weights: see `DenseDetector`.
        make_head: by default the head is that of the settings.

    Raises:
        InputError: levels with a shared head have different numbers of priors.
    """
    backbone = make_backbone(config.backbone)
    settings = config.head
    neck = pyramid(
        settings.neck, backbone.channels, backbone.strides, settings.channels, config.levels, settings.coarser
    )
    priors = make_priors(config, neck.strides)
    if settings.towers == "shared" and len(set(priors.per_cell)) > 1:
        raise InputError(
            f"shapes: {', '.join(map(str, priors.per_cell))} priors per cell at the levels, which share a head; "
            "give the same number at every level, or set head.towers=own"
        )

    def shared(levels: int, per_cell: int) -> SharedHead:
        return SharedHead(
            settings.channels,
            levels,
            per_cell,
            supervision.class_loss.channels(num_classes),
            coder.channels,
            supervision.class_loss.bias(),
            settings.convs,
            settings.norm,
            quality=quality_loss is not None,
            level_scale=level_scale,
            conv=settings.conv,
        )

    def head() -> SharedHead | OwnHeads:
        if settings.towers == "shared":
            return shared(config.levels, priors.per_cell[0])
        return OwnHeads(shared(1, per_cell) for per_cell in priors.per_cell)

    return DenseDetector(
        config,
        num_classes,
        box_weight=config.box_weight,
        backbone=backbone,
        neck=neck,
        head=make_head(head()),
        priors=priors,
        supervision=supervision,
        coder=coder,
        box_loss=box_loss,
        quality_loss=quality_loss,
        normalise=normalise,
        auxiliary=auxiliary,
        box_weights=box_weights,
    )
