"""Time of training and predicting with a model, measured with a few steps."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.data.chosen_images import select_images
from bench.data.types import Dataset, Split
from bench.decide.rounds import Cost
from bench.pipeline.configured_prediction import predict_configured
from bench.process.interrupts import StopRequest
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.training.device import pick_device
from bench.training.loop import train
from bench.tune.search_space import with_values

STEPS = 4
"""Steps of an epoch that is timed; one such epoch precedes it, to warm up."""

PREDICTED = 16
"""Validation images whose prediction is timed."""

OTHER_SECONDS = 2.0
"""Of a run: building the network, evaluation, writing files."""


class MeasuredCost(NamedTuple):
    """Time of a run on the validation split, and of predicting the test split, in seconds."""

    cost: Cost
    test: float


def measure_cost(config: RunConfig, dataset: Dataset, stop: StopRequest | None = None) -> MeasuredCost:
    """Train a few steps of a model and predict a few images.

    Args:
        config: of the run.
        dataset: its data.
        stop: checked after every step.
    """
    size = config.train.batch * config.train.accumulate
    few = _first(dataset.splits["train"], STEPS * size)
    val = _first(dataset.splits["val"], PREDICTED)
    seldom = {"train.validate_every": 0, "train.validations": 0, "train.patience": 0}
    short = with_values(config, {"train.epochs": 3, **seldom})
    detector: Any = build_detector(short, len(dataset.classes))
    with tempfile.TemporaryDirectory() as folder:
        rows = train(detector, few, val, short, Path(folder), stop=stop).history
    of_images = float((rows[1]["seconds"] or 0.0) - (rows[0]["seconds"] or 0.0)) / len(few)
    began = time.monotonic()
    predict_configured(detector, val, config, device=pick_device(config.device))
    of_predicted = (time.monotonic() - began) / len(val)
    validation = of_predicted * len(dataset.splits["val"])
    every = config.train.validate_every
    epoch = of_images * len(dataset.splits["train"]) + (validation / every if every else 0.0)
    return MeasuredCost(
        Cost(OTHER_SECONDS + (2 + config.train.validations) * validation, epoch),
        OTHER_SECONDS + of_predicted * len(dataset.splits["test"]),
    )


def _first(split: Split, images: int) -> Split:
    return select_images(split, np.arange(min(images, len(split))), split.name)
