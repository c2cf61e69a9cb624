"""What a training changes and a checkpoint keeps: detector, adapters of distillation, optimizer, running average."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from bench.settings.config import RunConfig
from bench.training.optimizer import make_optimizer
from bench.training.seeding import seed_batch
from bench.training.weight_average import WeightAverage
from detectors.distillation import DistilledDetector


class Networks:
    """A detector in training with its optimizer and its running average.

    Args:
        detector: on its device, prepared for training.
        teacher: dense detector that is imitated; None for none.
        config: settings of the run.
        accelerator: of the run.
        steps: number of updates of the whole training, as far as known when it is asked.

    Attributes:
        detector: the detector.
        distilled: the detector with the losses of distillation; None without a teacher.
        trained: module whose loss is minimised: `distilled`, or the detector.
        optimizer: of the parameters of `trained`.
        average: running average of the detector; None for none.

    Raises:
        InputError: the teacher cannot be imitated by this detector.
    """

    def __init__(
        self,
        detector: nn.Module,
        teacher: nn.Module | None,
        config: RunConfig,
        accelerator: Accelerator,
        steps: Callable[[], float],
    ) -> None:
        settings = config.train
        self.detector = detector
        self.distilled = (
            None if teacher is None else _distilled(detector, teacher, config, accelerator.device)
        )
        self.trained: nn.Module = detector if self.distilled is None else self.distilled
        self.optimizer = make_optimizer(self.trained, settings)
        self.average = (
            WeightAverage(detector, lambda: settings.average * steps(), settings.average_warmup)
            if settings.average
            else None
        )
        self._scaler = accelerator.scaler
        backbone = getattr(detector, "backbone", None)
        self._of_backbone = [] if backbone is None else [p for p in backbone.parameters() if p.requires_grad]
        if backbone is not None:
            backbone.checkpoint = settings.checkpoint_activations

    def freeze_backbone(self, frozen: bool) -> None:
        """Whether the weights of the backbone are kept in the coming updates; those that are never trained stay so."""
        for parameter in self._of_backbone:
            parameter.requires_grad_(not frozen)

    def update_average(self) -> None:
        """Follow an update of the weights."""
        if self.average is not None:
            self.average.update(self.detector)

    def states(self) -> dict[str, Any]:
        """State of each part, for `bench.training.checkpoint.save_state`."""
        states: dict[str, Any] = {
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
        }
        if self.distilled is not None:
            states["adapters"] = self.distilled.adapters.state_dict()
        return states

    def load_states(self, states: Mapping[str, Any]) -> None:
        """Restore what `states` returned."""
        self.detector.load_state_dict(states["detector"])
        if self.distilled is not None:
            self.distilled.adapters.load_state_dict(states["adapters"])
        self.optimizer.load_state_dict(states["optimizer"])
        if self.average is not None and states["average"] is not None:
            self.average.load_state_dict(states["average"])
        if self._scaler is not None and states["scaler"] is not None:
            self._scaler.load_state_dict(states["scaler"])


def _distilled(
    detector: nn.Module, teacher: nn.Module, config: RunConfig, device: torch.device
) -> DistilledDetector:
    # Initial weights of adapters, from a random stream that no batch uses.
    seed_batch(config.seed, 0, 0, 2**31 + 1)
    return DistilledDetector(detector, teacher.to(device), config.distill, config.image.size).to(device)
