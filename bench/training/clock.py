"""Wall-clock time of a training, and the part of it that its updates take."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from bench.training.checkpoint import Position


class TrainingClock:
    """Adds the time since the last reading to a position.

    Args:
        accelerator: of the run.
        agreed: whether all processes count the updates' time of the main process, because it decides when training ends.

    Attributes:
        saved: when the time was last added to `Position.seconds`, in seconds of `time.monotonic`.
    """

    def __init__(self, accelerator: Accelerator, agreed: bool) -> None:
        self._accelerator = accelerator
        self._agreed = agreed and accelerator.num_processes > 1
        self.saved = self._updated = time.monotonic()

    def seconds(self, position: Position) -> float:
        """Training time until now."""
        return position.seconds + time.monotonic() - self.saved

    def add(self, position: Position) -> None:
        """Add the time of the training."""
        now = time.monotonic()
        position.seconds += now - self.saved
        self.saved = now

    def start_update(self) -> None:
        """The time from now on is that of the next update."""
        self._updated = time.monotonic()

    def add_update(self, position: Position) -> None:
        """Add the time of an update; the next one starts now."""
        now = time.monotonic()
        position.step_seconds += now - self._updated
        self._updated = now
        if self._agreed:
            seconds = torch.tensor(position.step_seconds, device=self._accelerator.device)
            position.step_seconds = float(broadcast(seconds))
