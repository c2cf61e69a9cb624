"""Learning rate schedules."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from bench.settings.sections import TrainConfig


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of update `step` (counted from 0) of `steps`, as a fraction of the highest, in (0, 1].

    It increases linearly over the first ``ceil(warmup * steps)`` updates and is 1 at the last of them. Then ``cosine``
    decreases to `final` at the last update along half a cosine (Loshchilov and Hutter 2017, eq. 5), ``steps``
    multiplies by `decay` after each of the milestones, ``constant`` stays at 1.
    """
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "cosine":
        progress = (step - warmup) / max(steps - 1 - warmup, 1)
        return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if config.schedule == "steps":
        return float(config.decay ** sum(step >= milestone * steps for milestone in config.milestones))
    return 1.0


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of each group to `factor` times its ``initial_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
