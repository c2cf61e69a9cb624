"""DETR: queries, matched to objects one to one, find all objects of an image without NMS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from detectors.backbones import make_backbone
from detectors.coders import DistanceCoder
from detectors.denoising import DenoisingConfig
from detectors.detector_config import DetectorConfig
from detectors.heads.decoder import Decoder, DecoderConfig
from detectors.heads.dense import Norm, OwnHeads, SharedHead
from detectors.heads.queries import LearnedQueries, ProposalQueries
from detectors.losses.classification import ClassLoss, FocalLoss, QualityFocalLoss, VarifocalLoss
from detectors.losses.set_prediction import SetLoss, SetWeights
from detectors.necks.pan import pyramid
from detectors.nms import NMSConfig
from detectors.priors import GridPriors, points
from detectors.pyramid import HeadConfig
from detectors.registry import variant
from detectors.search_range import Choice, OnlyIf, Range
from detectors.set_prediction import SetDetector

ClassLossName = Literal["varifocal", "focal", "quality_focal"]


class DETRHeadConfig(HeadConfig):
    """The feature pyramid and the dense head that makes proposals."""

    convs: Annotated[int, Field(ge=0, le=8), Choice(1, 2, 4), OnlyIf("queries", options=["proposals"])] = 1
    """proposals: convolutions in each tower."""
    norm: Annotated[Norm, Choice("batch", "group"), OnlyIf("queries", options=["proposals"])] = "batch"
    """proposals: normalisation in the towers: `batch` (with statistics for each level), `group`, or `none`."""


class DETRConfig(DetectorConfig):
    """Settings of DETR. Sizes are for small data and CPUs; the papers have 256 channels, 6 layers and 300 queries."""

    levels: int = Field(default=4, ge=1, le=8)
    """Number of pyramid levels, starting at the backbone's finest."""
    head: DETRHeadConfig = DETRHeadConfig()
    ignore_overlap: Annotated[
        float, Field(ge=0, le=1), Range(0.3, 0.9), OnlyIf("queries", options=["proposals"])
    ] = 0.5
    """proposals: a prior without an object is ignored instead of background if a larger fraction of its area lies in a crowd, or
    in an object that is marked as difficult or ignored; 1 ignores none."""
    queries: Annotated[Literal["proposals", "learned"], Choice("proposals", "learned")] = "proposals"
    """Where queries start: at the best `proposals` of a dense head (Zhao et al. 2024), or at `learned` boxes."""
    num_queries: Annotated[int, Field(ge=1), Choice(30, 60, 100)] = 60
    """Queries; at least the largest number of objects of an image."""
    layers: Annotated[int, Field(ge=1, le=12), Choice(2, 3)] = 3
    """Decoder layers."""
    heads: Annotated[int, Field(ge=1), Choice(4, 8)] = 4
    """Heads of each attention."""
    points: Annotated[int, Field(ge=1), Choice(2, 4)] = 4
    """Points per head and level that a query reads."""
    hidden: Annotated[int, Field(ge=8), Choice(128, 256)] = 256
    """Channels of the feed-forward networks."""
    class_loss: Annotated[ClassLossName, Choice("varifocal", "focal", "quality_focal")] = "varifocal"
    """Class loss: `varifocal` (RT-DETR) and `quality_focal` make the score include the quality of the box; `focal`
    (Deformable DETR) does not."""
    score_weight: Annotated[float, Field(ge=0), Range(0.5, 4)] = 2.0
    """Weight of the class in the matching and in the loss."""
    l1_weight: Annotated[float, Field(ge=0), Range(1, 10)] = 5.0
    """Weight of the L1 distance of boxes in the matching and in the loss."""
    giou_weight: Annotated[float, Field(ge=0), Range(0.5, 5)] = 2.0
    """Weight of GIoU in the matching and in the loss."""
    top: Annotated[int, Field(ge=1), Choice(1, 4, 10), OnlyIf("queries", options=["proposals"])] = 10
    """proposals: positive points per object in the training of the dense head."""
    denoising: DenoisingConfig = DenoisingConfig()
    nms: NMSConfig = NMSConfig(method="none")


@variant(
    "detr",
    config=DETRConfig,
    source="Carion et al. 2020, arXiv:2005.12872",
    defaults={"train.lr": 0.002, "train.batch": 8},
)
def build(config: DETRConfig, num_classes: int) -> SetDetector:
    """DETR: deformable attention from the best proposals; each object is found by one query, without NMS."""
    backbone = make_backbone(config.backbone)
    settings = config.head
    neck = pyramid(
        settings.neck,
        backbone.channels,
        backbone.strides,
        settings.channels,
        config.levels,
        settings.coarser,
    )
    class_loss = _class_loss(config.class_loss)
    sizes = DecoderConfig(settings.channels, config.layers, config.heads, config.points, config.hidden)
    return SetDetector(
        config,
        num_classes,
        backbone=backbone,
        neck=neck,
        queries=_queries(config, neck.strides, num_classes),
        decoder=Decoder(sizes, neck.strides, num_classes, class_loss.bias()),
        loss=SetLoss(class_loss, SetWeights(config.score_weight, config.l1_weight, config.giou_weight)),
        denoising=config.denoising,
        proposal_top=config.top,
    )


def _queries(
    config: DETRConfig, strides: Sequence[int], num_classes: int
) -> ProposalQueries | LearnedQueries:
    settings = config.head
    if config.queries == "learned":
        return LearnedQueries(settings.channels, config.num_queries)
    coder = DistanceCoder()

    def head(levels: int) -> SharedHead:
        return SharedHead(
            settings.channels,
            levels,
            1,
            num_classes,
            coder.channels,
            QualityFocalLoss().bias(),
            settings.convs,
            settings.norm,
            level_scale=True,
            conv=settings.conv,
        )

    own = settings.towers == "own"
    return ProposalQueries(
        OwnHeads(head(1) for _ in strides) if own else head(len(strides)),
        coder,
        GridPriors(points(len(strides)), strides, "stride"),
        settings.channels,
        config.num_queries,
    )


def _class_loss(name: ClassLossName) -> ClassLoss:
    match name:
        case "varifocal":
            return VarifocalLoss()
        case "focal":
            return FocalLoss()
        case "quality_focal":
            return QualityFocalLoss()
