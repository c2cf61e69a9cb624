"""U-Net: a contracting path with skip connections to an expanding path; boxes from connected components."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from detectors.backbones import BackboneConfig, make_backbone
from detectors.necks.unet import ImageSkips, UNetDecoder
from detectors.registry import variant
from detectors.search_range import Choice
from detectors.segmentation import SegmentationConfig, SegmentationDetector


class UNetConfig(SegmentationConfig):
    """Settings of U-Net. The contracting path is the backbone, and before its finest features a few convolutions."""

    backbone: BackboneConfig = BackboneConfig(finest=4, base_channel=16)
    levels: int = Field(default=5, ge=1, le=8)
    """Number of the backbone's feature levels that are used, finest first; fewer if it has fewer."""
    finest: Annotated[Literal[1, 2, 4], Choice(1, 2, 4)] = 4
    """Stride of the finest map of the expanding path: 1 in the paper. The logits of coarser ones are interpolated."""
    channels: Annotated[int, Field(ge=4), Choice(8, 16, 32)] = 32
    """Channels of the expanding path at stride 2, doubled at each coarser stride up to `max_channels`, halved at stride 1;
    128 in the paper, and 64 at stride 1."""
    max_channels: int = Field(default=128, ge=4)
    """Largest number of channels of the expanding path; 1024 in the paper."""
    convs: Annotated[int, Field(ge=1, le=4), Choice(1, 2)] = 1
    """3 x 3 convolutions at each stride of the expanding path; 2 in the paper."""


@variant(
    "unet",
    config=UNetConfig,
    source="Ronneberger et al. 2015, arXiv:1505.04597",
    defaults={"train.lr": 0.003, "train.batch": 4},
    label_maps=True,
    selection="miou",
)
def build(config: UNetConfig, num_classes: int) -> SegmentationDetector:
    """U-Net: semantic segmentation, boxes from connected components; needs masks."""
    backbone = make_backbone(config.backbone)
    of_image = [stride for stride in (1, 2, 4, 8) if config.finest <= stride < backbone.strides[0]]
    skips = ImageSkips(of_image, [_channels(config, stride) for stride in of_image])
    strides = (*of_image, *backbone.strides[: config.levels])
    decoder = UNetDecoder(
        (*skips.channels, *backbone.channels[: config.levels]),
        [_channels(config, stride) for stride in strides[:-1]],
        config.convs,
    )
    return SegmentationDetector(
        config,
        num_classes,
        backbone=backbone,
        skips=skips,
        neck=decoder,
        head=nn.Conv2d(decoder.channels[0], num_classes + 1, 1),
        stride=strides[0],
    )


def _channels(config: UNetConfig, stride: int) -> int:
    return min(max(config.channels * stride // 2, 1), config.max_channels)
