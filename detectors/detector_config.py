"""Settings that every detector has."""

from __future__ import annotations

from detectors.backbones import BackboneConfig
from detectors.candidates import CandidatesConfig
from detectors.config import Config
from detectors.losses.class_weights import ClassWeightsConfig
from detectors.nms import NMSConfig


class DetectorConfig(Config):
    """Settings of all detectors."""

    weights: str | None = None
    """Weights of the whole detector: a file, ours or torchvision's, or torchvision's name for them, such as
    `SSD300_VGG16_Weights.COCO_V1`; none: random weights, except for `backbone.weights`."""
    backbone: BackboneConfig = BackboneConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    nms: NMSConfig = NMSConfig()
    class_weights: ClassWeightsConfig = ClassWeightsConfig()
