"""Length of a training: a number of updates, or a time; and what follows from it for every update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate as running_sums

import torch
from torch import nn

from bench.settings.budget import Limit
from bench.settings.sections import TrainConfig
from bench.training.checkpoint import Position
from bench.training.schedules import learning_rate_factor
from detectors.flops import forward_flops
from metrics.errors import InputError

_INSTANTS = 10_000
"""Parts of a time by which the schedule of a training in minutes is computed."""


class TrainingLength(ABC):
    """Length of a training. All methods depend on the position alone."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Units of the progress display: batches or seconds."""

    @abstractmethod
    def done(self, position: Position) -> int:
        """Units of the progress display at a position."""

    @abstractmethod
    def is_over(self, position: Position) -> bool:
        """Whether there is no further update."""

    @abstractmethod
    def share(self, position: Position) -> float:
        """Share of the length before a position, in [0, 1]."""

    @abstractmethod
    def factor(self, position: Position) -> float:
        """Learning rate of the next update at a position, as a fraction of the highest."""

    @abstractmethod
    def steps(self, position: Position) -> float:
        """Updates of the whole training, as far as known at a position."""

    @abstractmethod
    def is_closing(self, epoch: int, batch: int, position: Position) -> bool:
        """Whether a batch belongs to the last share `augment.close_mosaic`, when it is requested at a position."""


class StepLength(TrainingLength):
    """A number of updates.

    Args:
        steps: updates of the whole training.
        batches: batches of an epoch, each of whose updates takes `train.accumulate` of them.
        settings: of training.
        close: the last share of the training in which no image is made of several images.
        whole_epochs: whether that is rounded to whole epochs.
    """

    def __init__(
        self, steps: int, batches: int, settings: TrainConfig, close: float, whole_epochs: bool
    ) -> None:
        self._steps = steps
        self._batches = batches
        self._settings = settings
        self._per_epoch = updates_per_epoch(batches, settings.accumulate)
        epochs = steps // max(self._per_epoch, 1)
        self._first_closing = (
            (epochs - round(close * epochs)) * self._per_epoch if whole_epochs else round((1 - close) * steps)
        )

    @property
    def total(self) -> int:
        epochs, rest = divmod(self._steps, max(self._per_epoch, 1))
        return epochs * self._batches + min(rest * self._settings.accumulate, self._batches)

    def done(self, position: Position) -> int:
        return position.epoch * self._batches + position.batch

    def is_over(self, position: Position) -> bool:
        return position.step >= self._steps

    def share(self, position: Position) -> float:
        return min(position.step / self._steps, 1.0) if self._steps else 1.0

    def factor(self, position: Position) -> float:
        return learning_rate_factor(position.step, self._steps, self._settings)

    def steps(self, position: Position) -> float:
        return self._steps

    def is_closing(self, epoch: int, batch: int, position: Position) -> bool:
        return epoch * self._per_epoch + batch // self._settings.accumulate >= self._first_closing


class TimeLength(TrainingLength):
    """A time of training, `Position.step_seconds`.

    The last update is the one after which another would exceed the time if it took as long as the mean of the earlier ones.

    Args:
        seconds: of the whole training.
        settings: of training.
        close: the last share of the time in which no image is made of several images.
    """

    def __init__(self, seconds: float, settings: TrainConfig, close: float) -> None:
        self._seconds = seconds
        self._settings = settings
        self._close = close

    @property
    def total(self) -> int:
        return math.ceil(self._seconds)

    def done(self, position: Position) -> int:
        return min(int(position.step_seconds), self.total)

    def is_over(self, position: Position) -> bool:
        mean = position.step_seconds / max(position.step, 1)
        return position.step_seconds + mean > self._seconds

    def share(self, position: Position) -> float:
        return 1.0 if self.is_over(position) else min(position.step_seconds / self._seconds, 1.0)

    def factor(self, position: Position) -> float:
        instant = min(int(position.step_seconds / self._seconds * _INSTANTS), _INSTANTS - 1)
        return learning_rate_factor(instant, _INSTANTS, self._settings)

    def steps(self, position: Position) -> float:
        spent = position.step_seconds / self._seconds
        return position.step / spent if spent > 0 else 1.0

    def is_closing(self, epoch: int, batch: int, position: Position) -> bool:
        return position.step_seconds >= (1 - self._close) * self._seconds


def training_length(
    settings: TrainConfig, close: float, batch_images: Sequence[int], image_flops: int
) -> TrainingLength:
    """Length of a training by its budget, or else by its number of epochs.

    Args:
        settings: of training.
        close: the last share of the training in which no image is made of several images.
        batch_images: images of each batch of an epoch, over all processes.
        image_flops: FLOPs of training with one image; only used if the budget is in FLOPs.

    Raises:
        InputError: the budget is less than one update.
    """
    limit = settings.budget.limit
    batches = len(batch_images)
    if limit is None:
        steps = settings.epochs * updates_per_epoch(batches, settings.accumulate)
        return StepLength(steps, batches, settings, close, whole_epochs=True)
    if limit.unit == "minutes":
        return TimeLength(60 * limit.amount, settings, close)
    images = int(limit.amount if limit.unit == "images" else limit.amount / image_flops)
    steps = affordable_updates(images, batch_images, settings.accumulate)
    if not steps:
        raise InputError(_too_small(limit, batch_images, settings.accumulate, image_flops))
    return StepLength(steps, batches, settings, close, whole_epochs=False)


def training_flops(detector: nn.Module, size: tuple[int, int], device: torch.device | None = None) -> int:
    """FLOPs of training with one image, which are defined as three times those of a prediction: those of the forward pass, and
    as many each for the gradients of activations and of weights.

    This is the convention of Kaplan et al. 2020 (arXiv:2001.08361, section 2.1) and of the model FLOPs of Chowdhery et al. 2022
    (arXiv:2204.02311, appendix B): what is computed again to save memory does not count, nor do a teacher, losses, the update
    of the weights, and multi-scale training, whose sizes are around the given one.

    Args:
        detector: to train.
        size: (height, width) of the network's input.
        device: of the detector; None for the CPU.
    """
    return 3 * forward_flops(detector, size, device)


def updates_per_epoch(batches: int, accumulate: int) -> int:
    """Updates of the weights in an epoch, each from the gradient of `accumulate` batches."""
    return math.ceil(batches / accumulate)


def affordable_updates(images: int, batch_images: Sequence[int], accumulate: int) -> int:
    """Largest number of updates that take at most this many images, over as many epochs as needed.

    Args:
        images: the budget.
        batch_images: images of each batch of an epoch.
        accumulate: batches of an update; the last update of an epoch may have fewer.
    """
    seen = list(running_sums(_update_images(batch_images, accumulate)))
    if not seen:
        return 0
    epochs, rest = divmod(images, seen[-1])
    return epochs * len(seen) + sum(count <= rest for count in seen)


def _update_images(batch_images: Sequence[int], accumulate: int) -> list[int]:
    """Images of each update of an epoch."""
    return [sum(batch_images[k : k + accumulate]) for k in range(0, len(batch_images), accumulate)]


def _too_small(limit: Limit, batch_images: Sequence[int], accumulate: int, image_flops: int) -> str:
    needed: float = _update_images(batch_images, accumulate)[0] if batch_images else 0
    if limit.unit == "flops":
        needed *= image_flops
    return (
        f"{limit}: one update of the weights takes {needed:.4g} {limit.unit}; give more, or lower train.batch"
    )
