"""Sliding window: the localizer on windows of the image at many places, scales and aspect ratios."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.candidates import CandidatesConfig
from detectors.localizer import LocalizerConfig, LocalizerLoss, make_localizer
from detectors.nms import NMSConfig
from detectors.pretrained import load_detector
from detectors.registry import variant
from detectors.search_range import Choice, Range
from detectors.sliding_window import SlidingWindow
from detectors.windows import WindowsConfig


class SlidingWindowConfig(LocalizerConfig):
    """Settings of the sliding window. Coordinates are in parts of a window."""

    windows: WindowsConfig = WindowsConfig()
    box_loss: Annotated[LocalizerLoss, Choice("mse", "smooth_l1", "giou")] = "mse"
    """As in the localizer; windows are about as large as their objects, so that GIoU has no advantage over `mse`."""
    alpha: Annotated[float, Field(ge=0), Range(0.5, 200, log=True)] = 50.0
    """Weight of the box loss relative to the class loss."""
    candidates: CandidatesConfig = CandidatesConfig(score=0.01, top_k=400, per="class")
    nms: NMSConfig = NMSConfig(iou=0.45)


@variant(
    "sliding_window",
    config=SlidingWindowConfig,
    source="Sermanet et al. 2014 (OverFeat), arXiv:1312.6229; Girshick et al. 2014 (R-CNN), arXiv:1311.2524",
    defaults={"train.lr": 0.004, "train.batch": 8},
)
def build(config: SlidingWindowConfig, num_classes: int) -> SlidingWindow:
    """Sliding window: each of many windows is classified and its box refined; slow, the baseline of one-stage detectors."""
    localizer = make_localizer(config.model_copy(update={"weights": None}), num_classes)
    detector = SlidingWindow(localizer, config.windows)
    load_detector(detector, config.weights)
    return detector
