"""Optimizer with parameter groups, and running average of the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from bench.settings.sections import TrainConfig


def make_optimizer(detector: nn.Module, config: TrainConfig) -> Optimizer:
    """Optimizer of all trainable parameters.

    Parameters with fewer than two dimensions (biases, scales of normalisation layers) have no weight decay. The
    learning rate of ``detector.backbone`` is ``lr * backbone_lr_scale``. Each group stores its highest rate as
    ``initial_lr``, which `schedules.set_learning_rate` multiplies.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    backbone = getattr(detector, "backbone", None)
    of_backbone = set() if backbone is None else {id(parameter) for parameter in backbone.parameters()}
    for parameter in detector.parameters():
        if parameter.requires_grad:
            key = (id(parameter) in of_backbone, parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    settings = [
        {
            "params": parameters,
            "initial_lr": config.lr * (config.backbone_lr_scale if is_backbone else 1.0),
            "lr": config.lr,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (is_backbone, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = all(p.device.type in {"cpu", "cuda"} for parameters in groups.values() for p in parameters)
    if config.optimizer == "sgd":
        return SGD(
            settings, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=fused
        )
    return AdamW(settings, lr=config.lr, betas=(config.momentum, 0.999), fused=fused)


def make_average(detector: nn.Module, steps: float) -> AveragedModel:
    """Copy of the detector with an exponential moving average of its weights.

    The decay d of update n is the smaller of ``1 - 1 / steps`` and ``(1 + n) / (10 + n)``, so that the initial weights
    do not remain in the average of a short training. Buffers (statistics of BatchNorm) are copied.

    Args:
        detector: network in training.
        steps: time constant of the average in updates; at 1 or below it equals the detector.
    """
    decay = 1 - 1 / max(steps, 1.0)

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        # The counter of the model is on the CPU; reading the argument would synchronise the GPU.
        n = float(model.n_averaged)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged), list(current), weight)

    model = AveragedModel(detector, multi_avg_fn=average)
    return model
