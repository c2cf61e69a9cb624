"""Learning-rate finder: a range test with the network, images and optimizer of a run's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from bench.data.types import Split
from bench.learning_rate.range_test import RangeTest, RateRange, run_range_test
from bench.pipeline.loader import Batch, Loader
from bench.process.log import Log
from bench.process.progress import Progress
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position
from bench.training.device import make_accelerator
from bench.training.epoch_batches import training_loader, update_batches
from bench.training.networks import Networks
from bench.training.precision import training_precision
from bench.training.preparation import prepare_detector
from bench.training.seeding import seed_batch
from bench.training.step import LossNotFinite, Stepper
from metrics.errors import InputError


def find_learning_rate(
    detector: nn.Module,
    split: Split,
    config: RunConfig,
    tested: RateRange | None = None,
    progress: Progress | None = None,
) -> RangeTest:
    """Train with growing learning rates, without schedule, and record the loss of each step.

    Batches, augmentation, optimizer, clipping and precision are those of the first steps of the run; all else of
    its settings that depends on its length (schedule, running average, frozen backbone) is left out. A step whose loss is not
    finite ends the test.

    Args:
        detector: network before its training; its weights are changed.
        split: training images.
        config: settings of the run; `train.lr` has no effect, but the backbone keeps its rate relative to it.
        tested: the learning rates.
        progress: display of the progress.

    Raises:
        InputError: there are no training images.
    """
    tested, progress = tested or RateRange(), progress or Progress()
    if not len(split):
        raise InputError(f"{split.name}: no training images to test learning rates with; use other data")
    if config.threads:
        torch.set_num_threads(config.threads)
    precision = training_precision(detector, split, config, Position())
    settings = config.train.model_copy(update={"not_finite": "stop", "average": 0.0, "precision": precision})
    config = config.model_copy(update={"train": settings})
    accelerator = make_accelerator(config.device, precision)
    prepare_detector(detector, split, config, accelerator, Log(), resumed=False)
    networks = Networks(detector, None, config, accelerator, lambda: tested.steps)
    stepper = Stepper(
        networks.trained,
        accelerator.prepare(networks.optimizer),
        accelerator,
        settings,
        split.truth.catalog.image_ids,
        Log(),
    )
    batches = _updates(training_loader(split, config, accelerator), config)
    detector.train()
    with progress.stage("testing learning rates", tested.steps) as stage:

        def step(rate: float) -> float:
            try:
                result = stepper(next(batches), rate / settings.lr)
                stepper.check()
            except LossNotFinite:
                return float("nan")
            loss = float(torch.stack(list(result.terms.values())).sum())
            stage.advance(lr=rate, loss=loss)
            return loss

        return run_range_test(step, tested.rates())


def _updates(loader: Loader, config: RunConfig) -> Iterator[list[Batch]]:
    """The batches of each update, epoch after epoch, with the random numbers of the run."""
    position = Position()
    while True:
        for batches in update_batches(loader, config.train.accumulate, position):
            seed_batch(config.seed, position.epoch, position.batch)
            yield batches
            position.batch += len(batches)
        position = replace(position, epoch=position.epoch + 1, batch=0)
