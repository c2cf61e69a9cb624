"""Localizer: the class and the box of the most prominent object of an image."""

from __future__ import annotations

from detectors.localizer import Localizer, LocalizerConfig, make_localizer
from detectors.registry import variant


@variant(
    "localizer",
    config=LocalizerConfig,
    source="Sermanet et al. 2014 (OverFeat), arXiv:1312.6229",
    defaults={"train.lr": 0.0005, "train.batch": 8},
)
def build(config: LocalizerConfig, num_classes: int) -> Localizer:
    """Localizer: class and box of the most prominent object, from pooled features."""
    return make_localizer(config, num_classes)
