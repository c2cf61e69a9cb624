"""Time of a few updates of a training, measured without writing anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from bench.data.types import Split
from bench.pipeline.loader import Batch, Loader
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position
from bench.training.decoding import decode_for_training
from bench.training.epoch_batches import update_batches
from bench.training.length import updates_per_epoch
from bench.training.setup import set_up_training

UPDATES = 10
"""Number of timed updates."""


@dataclass(frozen=True, slots=True)
class TimedUpdates:
    """Planned length of a training, and the time of its updates.

    Attributes:
        update_seconds: mean time of an update, with loading of images.
        updates: of the whole training.
        epochs: of the whole training, of which the last one may be cut short.
    """

    update_seconds: float
    updates: float
    epochs: float

    @property
    def seconds(self) -> float:
        """Time of all updates."""
        return self.update_seconds * self.updates


def time_updates(
    detector: nn.Module, split: Split, config: RunConfig, teacher: nn.Module | None = None
) -> TimedUpdates:
    """Time the first updates of a training after one that is not timed; the weights of the detector change.

    Raises:
        InputError, MachineError: as `bench.training.loop.train`.
    """
    made = set_up_training(
        detector, decode_for_training(split, config)[0], config, teacher=teacher, show_images=False
    )
    settings, length = made.settings, made.length
    detector.train()
    began, done = time.monotonic(), -1
    for batches in _endless(made.loader, settings.accumulate):
        # Not yet a high learning rate, with which an untrained network can diverge.
        made.stepper(batches, 1e-3)
        made.networks.update_average()
        done += 1
        if done in (0, UPDATES):
            made.stepper.check()
            _wait(made.accelerator.device)
            if done:
                break
            began = time.monotonic()
    mean = (time.monotonic() - began) / max(done, 1)
    per_epoch = max(updates_per_epoch(len(made.loader), settings.accumulate), 1)
    limit = settings.budget.limit
    updates = 60 * limit.amount / mean if limit and limit.unit == "minutes" else length.steps(Position())
    return TimedUpdates(mean, updates, updates / per_epoch)


def _endless(loader: Loader, accumulate: int) -> Iterator[list[Batch]]:
    """The batches of one update after another, over as many epochs as are asked for."""
    epoch = 0
    while len(loader):
        yield from update_batches(loader, accumulate, Position(epoch=epoch))
        epoch += 1


def _wait(device: torch.device) -> None:
    """Wait for an accelerator, which computes while this process goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
