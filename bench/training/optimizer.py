"""From gradients to weights: the optimizer, its groups of parameters, the learning rate's course, the average."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from bench.settings.sections import TrainConfig


def make_optimizer(detector: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer of the parameters that want a gradient.

    Weight decay spares biases and the scales of normalisation layers (all that has fewer than two dimensions).
    Parameters below ``detector.backbone`` learn at ``lr * backbone_lr_scale``. The base rate of each group is
    kept in it as ``initial_lr``; `set_learning_rate` multiplies it.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith("backbone."), parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    settings = [
        {
            "params": parameters,
            "initial_lr": config.lr * (config.backbone_lr_scale if of_backbone else 1.0),
            "lr": config.lr,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (of_backbone, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = all(p.device.type in {"cpu", "cuda"} for parameters in groups.values() for p in parameters)
    if config.optimizer == "sgd":
        return SGD(
            settings, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=fused
        )
    return AdamW(settings, lr=config.lr, betas=(config.momentum, 0.999), fused=fused)


def learning_rate_factor(step: int, steps: int, config: TrainConfig) -> float:
    """What the learning rate of update `step` (of `steps`, counted from 0) is of its highest, in (0, 1].

    It rises linearly over the first ``ceil(warmup * steps)`` updates, the last of which is at 1. Then ``cosine``
    falls to `final` at the last update along half a cosine (Loshchilov and Hutter 2017, eq. 5), ``steps``
    multiplies by `decay` after each of the milestones, ``constant`` stays.
    """
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "cosine":
        along = (step - warmup) / max(steps - 1 - warmup, 1)
        return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(along, 1.0)))
    if config.schedule == "steps":
        return float(config.decay ** sum(step >= milestone * steps for milestone in config.milestones))
    return 1.0


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Set each group's learning rate to `factor` times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def make_average(detector: nn.Module, steps: float) -> AveragedModel:
    """A copy of the detector whose weights are a running average of the detector's.

    Each ``update_parameters(detector)`` moves them by ``1 - d`` of the way, d the smaller of ``1 - 1 / steps`` and
    ``(1 + n) / (10 + n)`` after n updates: the random start would otherwise stay in the average of a short training.
    Buffers (statistics of BatchNorm) are copied.

    Args:
        detector: what is averaged.
        steps: updates over which the average forgets; below 1 it is the detector itself.
    """
    decay = 1 - 1 / max(steps, 1.0)

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        # The model's own counter stays on the CPU; the one passed in would make a GPU wait.
        n = float(model.n_averaged)
        share = 1 - min(decay, (1 + n) / (10 + n))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged), list(current), share)

    model = AveragedModel(detector, multi_avg_fn=average)
    return model
