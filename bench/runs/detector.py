"""Network of a run before training."""

from __future__ import annotations

from torch import nn

from bench.settings.config import RunConfig
from bench.training.seeding import seed_batch
from detectors.registry import VARIANTS


def build_detector(config: RunConfig, classes: int) -> nn.Module:
    """The variant's network for `classes` classes, initialised by the run's seed."""
    seed_batch(config.seed, 0, 0, 2**31)  # a random stream that no batch uses
    return VARIANTS[config.variant].build(config.detector, classes)
