"""Prediction on a split with the settings of a run: size of the network's input, images per batch, worker processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.types import Split
from bench.pipeline.predict import predict
from bench.process.progress import Progress
from bench.settings.config import RunConfig
from detectors.types import Predictor
from metrics.tables import DetectionTable


def predict_configured(
    detector: Predictor | torch.nn.Module,
    split: Split,
    config: RunConfig,
    *,
    device: torch.device | str = "cpu",
    candidates: Path | None = None,
    candidates_per_image: int = 1000,
    progress: Progress | None = None,
    label_maps: Callable[[int, NDArray[np.uint8]], None] | None = None,
) -> DetectionTable:
    """Detections of a detector on a split, with the input of prediction, which `image.prediction_scale` makes larger.

    Validation in training does not use it: its input has the size of training.

    Args:
        detector: on `device`, in evaluation mode.
        split: images.
        config: settings of the run.
        device: of the detector.
        candidates: file for the candidates before NMS.
        candidates_per_image: number of candidates that are saved, by decreasing score.
        progress: display of the progress.
        label_maps: is called with the label map of each image; see `bench.pipeline.predict.predict`.

    Raises:
        InputError, MachineError: as `predict`.
    """
    return predict(
        detector,
        split,
        config.image.for_prediction,
        batch=config.evaluate.batch,
        workers=config.workers,
        device=device,
        candidates=candidates,
        candidates_per_image=candidates_per_image,
        progress=progress,
        label_maps=label_maps,
    )
