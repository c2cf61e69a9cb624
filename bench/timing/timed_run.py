"""A finished run, prepared for timing as it was evaluated: predictor, images and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.runs.finished_run import evaluated_split, load_predictor, network_input
from bench.settings.sections import EvaluateConfig, Precision
from detectors.types import Predictor
from reports.records.run import RunFolder

MAX_IMAGES = 100
"""Images of a split that are timed; few enough that slow models also see all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class TimedRun:
    """A run to time.

    Attributes:
        run: the run folder.
        predictor: in evaluation mode on `device`.
        split: images that the run was evaluated on.
        image: the network's input; None for single images in their own size.
        device: device of the predictor.
        precision: of the run's evaluation, in which `predictor` computes.
    """

    run: RunFolder
    predictor: Predictor
    split: Split
    image: ImageConfig | None
    device: torch.device
    precision: Precision = "no"


def prepare_run(run: RunFolder, device: torch.device) -> TimedRun:
    """Build the predictor of a run and open its images.

    Raises:
        InputError: the run has no weights, or its data set is missing or has changed.
    """
    predictor = load_predictor(run)
    if isinstance(predictor, nn.Module):
        predictor.to(device).eval()
    settings = run.result.config
    image = network_input(run, predictor)
    precision = EvaluateConfig.model_validate(settings.get("evaluate", {})).precision
    return TimedRun(run, predictor, evaluated_split(run), image, device, precision)


def chosen_images(count: int) -> list[int]:
    """Indices of the images to time among `count`, at most `MAX_IMAGES`; the same order for all models."""
    return [int(index) for index in np.random.default_rng(0).permutation(count)[:MAX_IMAGES]]


def batch_at(images: Sequence[int], position: int, size: int) -> list[int]:
    """The `size` images from `position` on, starting again after the last."""
    return [images[(position + k) % len(images)] for k in range(size)]


def weights_of(predictor: Predictor) -> list[Tensor]:
    """Parameters of a network; empty for other predictors."""
    return [*predictor.parameters()] if isinstance(predictor, nn.Module) else []
