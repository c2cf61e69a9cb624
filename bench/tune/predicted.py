"""What a network predicts for a split, as the objectives of a study need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bench.data.types import Split
from bench.pipeline.configured_prediction import predict_configured
from bench.pipeline.inference import with_precision
from bench.pipeline.label_maps import LabelMapCounts
from bench.process.progress import Progress
from bench.settings.config import RunConfig
from metrics.mask_counts import MaskCounts
from metrics.tables import DetectionTable


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What a network predicts for the images of a split.

    Attributes:
        detections: boxes.
        masks: counts of its label maps; None if they were not asked for.
    """

    detections: DetectionTable
    masks: MaskCounts | None = None


def predict_for_objectives(
    detector: Any,
    split: Split,
    config: RunConfig,
    masks: bool,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Predicted:
    """Predict a split with the settings of a run.

    Args:
        detector: a network on `device`, in evaluation mode; with `masks` a `detectors.types.Segmenter`.
        split: images; with `masks` it has label maps.
        config: settings of the run.
        masks: whether label maps are measured, too.
        device: of the detector.
        progress: display.
    """
    counts = LabelMapCounts(split) if masks else None
    detections = predict_configured(
        with_precision(detector, config.evaluate.precision),
        split,
        config,
        device=device,
        progress=progress,
        label_maps=counts,
    )
    return Predicted(detections, None if counts is None else counts.gather())
