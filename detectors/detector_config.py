"""Settings that every detector has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.backbones import BackboneConfig
from detectors.candidates import CandidatesConfig
from detectors.config import Config
from detectors.losses.class_weights import ClassWeightsConfig
from detectors.nms import NMSConfig
from detectors.search_range import Range


class DetectorConfig(Config):
    """Settings of all detectors."""

    weights: str | None = None
    """Weights of the whole detector: a file of this program or of torchvision, or torchvision's name for them, such as
    `SSD300_VGG16_Weights.COCO_V1`; none: random weights, except for `backbone.weights`."""
    backbone: BackboneConfig = BackboneConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    nms: NMSConfig = NMSConfig()
    class_weights: ClassWeightsConfig = ClassWeightsConfig()
    ignore_overlap: Annotated[float, Field(ge=0, le=1), Range(0.3, 0.9)] = 0.5
    """A prior without an object is ignored instead of background if a larger fraction of its area lies in a crowd, or in an
    object that is marked as difficult or ignored; 1 ignores none."""
