"""Detectors made of interchangeable parts; usable without `bench`.

```python
import torch

from detectors import VARIANTS, Targets

ssd = VARIANTS["ssd"]
detector = ssd.build(ssd.config(levels=3), 2)  # settings, number of classes
images = torch.rand(1, 3, 128, 128)  # RGB in [0, 1]
targets = [Targets(torch.tensor([[10.0, 20.0, 60.0, 90.0]]), torch.tensor([1]))]  # xyxy in pixels, labels count from 0
losses = detector.losses(detector(images), targets)  # {"class": ..., "box": ...}

detections = detector.eval().predict(images)[0]
print(detections.boxes.shape, detections.scores, detections.labels)
```

The names below are the public API. They are imported when they are first used, because most of them need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectors.dense import DenseDetector
    from detectors.external.registry import ExternalModel, external_model, external_model_names
    from detectors.fusion import fuse
    from detectors.nms import NMS, NMSConfig
    from detectors.registry import VARIANTS, Variant, variant, variant_summaries
    from detectors.types import Detections, Detector, Predictor, Targets
    from detectors.weights import load_weights
    from detectors.wrappers.ensemble import Ensemble
    from detectors.wrappers.flipped import Flipped
    from detectors.wrappers.tiled import Tiled

__all__ = [
    "NMS",
    "VARIANTS",
    "DenseDetector",
    "Detections",
    "Detector",
    "Ensemble",
    "ExternalModel",
    "Flipped",
    "NMSConfig",
    "Predictor",
    "Targets",
    "Tiled",
    "Variant",
    "external_model",
    "external_model_names",
    "fuse",
    "load_weights",
    "variant",
    "variant_summaries",
]

_MODULES = {
    "dense": ("DenseDetector",),
    "external.registry": ("ExternalModel", "external_model", "external_model_names"),
    "fusion": ("fuse",),
    "nms": ("NMS", "NMSConfig"),
    "registry": ("VARIANTS", "Variant", "variant", "variant_summaries"),
    "types": ("Detections", "Detector", "Predictor", "Targets"),
    "weights": ("load_weights",),
    "wrappers.ensemble": ("Ensemble",),
    "wrappers.flipped": ("Flipped",),
    "wrappers.tiled": ("Tiled",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
