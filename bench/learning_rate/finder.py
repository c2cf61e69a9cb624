"""Learning-rate finder: a range test with the network, images and optimizer of a run's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from bench.data.types import Split
from bench.learning_rate.range_test import RangeTest, RateRange, run_range_test
from bench.pipeline.loader import Batch, Loader
from bench.process.progress import Progress
from bench.settings.budget import BudgetConfig
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position
from bench.training.decoding import decode_for_training
from bench.training.epoch_batches import update_batches
from bench.training.seeding import seed_batch
from bench.training.setup import set_up_training
from bench.training.step import LossNotFinite
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
    without_length = {"epochs": tested.steps, "budget": BudgetConfig(), "average": 0.0}
    settings = config.train.model_copy(update={"not_finite": "stop", **without_length})
    augment = config.augment.model_copy(update={"close_mosaic": 0.0})
    config = config.model_copy(update={"train": settings, "augment": augment})
    made = set_up_training(detector, decode_for_training(split, config)[0], config)
    batches = _updates(made.loader, config)
    detector.train()
    with progress.stage("testing learning rates", tested.steps) as stage:

        def step(rate: float) -> float:
            try:
                result = made.stepper(next(batches), rate / settings.lr)
                made.stepper.check()
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
