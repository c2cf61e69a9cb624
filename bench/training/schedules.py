"""Learning rate schedules."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from bench.settings.sections import TrainConfig

_ONE_CYCLE_START = 1 / 25


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of update `step` (counted from 0) of `steps`, as a fraction of the highest, in (0, 1].

    It increases linearly over the first ``ceil(warmup * steps)`` updates and is 1 at the last of them. Then ``cosine``
    decreases to `final` at the last update along half a cosine (Loshchilov and Hutter 2017, eq. 5), ``polynomial`` with the
    remaining fraction of the updates to the power of `power` (Liu et al. 2015, arXiv:1506.04579, section 3.3), ``linear``
    with that fraction; ``steps`` multiplies by `decay` after each of the milestones, ``constant`` stays at 1.

    ``one_cycle`` rises from 1/25 to 1 along half a cosine over the first `warmup` of the updates, then decreases like
    ``cosine`` (Smith and Topin 2019, arXiv:1708.07120, as torch's `OneCycleLR` without cycles of the momentum).
    """
    if config.schedule == "one_cycle":
        peak = max(config.warmup * steps - 1, 0.0)
        if step < peak:
            return _cosine(_ONE_CYCLE_START, 1.0, step / peak)
        return _cosine(1.0, config.final, (step - peak) / max(steps - 1 - peak, 1))
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step - warmup) / max(steps - 1 - warmup, 1), 1.0)
    match config.schedule:
        case "cosine":
            return _cosine(1.0, config.final, progress)
        case "linear":
            return config.final + (1 - config.final) * (1 - progress)
        case "polynomial":
            return config.final + (1 - config.final) * float((1 - progress) ** config.power)
        case "steps":
            return float(config.decay ** sum(step >= milestone * steps for milestone in config.milestones))
        case "constant":
            return 1.0


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rate of each group to `factor` times its ``initial_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
