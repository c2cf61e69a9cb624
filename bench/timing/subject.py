"""A finished run, made ready to be timed: its predictor, its images and its settings, as they were evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.runs.finished_run import evaluated_split, load_predictor
from detectors.types import Predictor
from reports.records.run import RunFolder

MOST_IMAGES = 100
"""So many of a split's images are timed; models that go through them at different speeds soon have seen them all."""


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """What is timed.

    Attributes:
        run: the run.
        predictor: on its device, in evaluation mode.
        split: the images that the run was evaluated on.
        image: the network's input; None: each image as it is, in its own size and alone.
        device: where the predictor is.
        precision: ``no``, or in which the forward pass computes by torch's autocast, as it did when the run was
            evaluated: ``bf16``, ``fp16``.
    """

    run: RunFolder
    predictor: Predictor
    split: Split
    image: ImageConfig | None
    device: torch.device
    precision: str = "no"

    def mixed_precision(self) -> AbstractContextManager[object]:
        """Within it the forward pass computes as it did when the run was evaluated."""
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(self.precision)
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)


def make_ready(run: RunFolder, device: torch.device) -> Timed:
    """Build the predictor of a run and open its images.

    Raises:
        InputError: the run holds no weights, or its data set is gone or has changed.
    """
    predictor = load_predictor(run)
    if isinstance(predictor, nn.Module):
        predictor.to(device).eval()
    settings = run.result.config
    image = ImageConfig.model_validate(settings["image"]) if "image" in settings else None
    precision = settings.get("train", {}).get("precision", "no")
    return Timed(run, predictor, evaluated_split(run), image, device, precision)


def chosen_images(count: int) -> list[int]:
    """Which of `count` images are timed, in which order: the same for all models; at most `MOST_IMAGES`."""
    return [int(at) for at in np.random.default_rng(0).permutation(count)[:MOST_IMAGES]]


def batch_at(images: Sequence[int], position: int, size: int) -> list[int]:
    """The `size` images from `position` on; after the last comes the first again."""
    return [images[(position + k) % len(images)] for k in range(size)]


def weights_of(predictor: Predictor) -> list[Tensor]:
    """The predictor's numbers; none where it is no network."""
    return [*predictor.parameters()] if isinstance(predictor, nn.Module) else []
