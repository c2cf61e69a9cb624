"""Torchvision's detection models: names, published accuracy and settings, without importing torchvision."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, NamedTuple

from pydantic import Field

from detectors.config import Config

VERSION = f"torchvision {version('torchvision').partition('+')[0]}"
"""The installed version, which is part of the source of these models."""


class Published(NamedTuple):
    """Published results of a model's default weights: AP on COCO val2017 in percent, and number of parameters."""

    ap: float
    parameters: int


MODELS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": Published(22.8, 19_386_354),
    "fasterrcnn_mobilenet_v3_large_fpn": Published(32.8, 19_386_354),
    "fasterrcnn_resnet50_fpn": Published(37.0, 41_755_286),
    "fasterrcnn_resnet50_fpn_v2": Published(46.7, 43_712_278),
    "fcos_resnet50_fpn": Published(39.2, 32_269_600),
    "keypointrcnn_resnet50_fpn": Published(54.6, 59_137_258),
    "maskrcnn_resnet50_fpn": Published(37.9, 44_401_393),
    "maskrcnn_resnet50_fpn_v2": Published(47.4, 46_359_409),
    "retinanet_resnet50_fpn": Published(36.4, 34_014_999),
    "retinanet_resnet50_fpn_v2": Published(41.5, 38_198_935),
    "ssd300_vgg16": Published(25.1, 35_641_826),
    "ssdlite320_mobilenet_v3_large": Published(21.3, 3_440_060),
}
"""All detection models, by torchvision's names."""


class TorchvisionNMSConfig(Config):
    """Which of the model's detections are kept; none: torchvision's own limit."""

    score: Annotated[float, Field(ge=0, le=1)] | None = None
    """Score threshold. none: torchvision's own, but at most 0.01: average precision needs the whole curve, which the
    thresholds of 0.05 (RetinaNet, Faster and Mask R-CNN) and 0.2 (FCOS) would truncate."""
    iou: Annotated[float, Field(ge=0, le=1)] | None = None
    """IoU threshold of NMS within a class. none: 0.45 to 0.6, depending on the model."""
    max_dets: Annotated[int, Field(ge=1)] | None = None
    """Largest number of detections per image. none: 100 to 300, depending on the model; COCO's AP counts 100 per
    class."""


class TorchvisionConfig(Config):
    """Settings of an unchanged torchvision model."""

    weights: str = "DEFAULT"
    """A file, or torchvision's name of published weights; DEFAULT: the best ones."""
    classes: dict[str, str] = Field(default_factory=dict)
    """The data set's name for a class of the weights, where they differ: `classes.person=face`. Other classes are matched
    by name."""
    nms: TorchvisionNMSConfig = TorchvisionNMSConfig()


def summary(name: str) -> str:
    """One line about a model: its published accuracy and size."""
    published = MODELS[name]
    return f"AP {published.ap} on COCO, {published.parameters / 1e6:.1f} M parameters (as published)"
