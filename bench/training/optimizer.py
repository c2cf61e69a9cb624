"""Optimizer with parameter groups."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from bench.settings.sections import TrainConfig
from bench.training.lion import Lion
from detectors.backbones import Backbone
from detectors.backbones.layer_strides import layers_up_to


def make_optimizer(detector: nn.Module, config: TrainConfig) -> Optimizer:
    """Optimizer of all trainable parameters.

    Parameters with fewer than two dimensions (biases, scales of normalisation layers) have no weight decay. The
    learning rate of ``detector.backbone`` is ``lr * backbone_lr_scale``, times `backbone_lr_decay` for each factor of two by
    which the stride of a layer is below that of the coarsest features. Each group stores its highest rate as ``initial_lr``,
    which `schedules.set_learning_rate` multiplies.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    backbone = getattr(detector, "backbone", None)
    depths = {} if backbone is None else _depths(backbone, config.backbone_lr_decay < 1)
    for parameter in detector.parameters():
        if parameter.requires_grad:
            key = (depths.get(id(parameter), -1), parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    settings = [
        {
            "params": parameters,
            "initial_lr": config.lr
            * (1.0 if depth < 0 else config.backbone_lr_scale * config.backbone_lr_decay**depth),
            "lr": config.lr,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = all(p.device.type in {"cpu", "cuda"} for parameters in groups.values() for p in parameters)
    if config.optimizer == "lion":
        return Lion(settings, lr=config.lr, betas=(config.momentum, 0.99))
    if config.optimizer == "sgd":
        return SGD(
            settings, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=fused
        )
    return AdamW(settings, lr=config.lr, betas=(config.momentum, 0.999), fused=fused)


def _depths(backbone: nn.Module, by_stride: bool) -> dict[int, int]:
    """Depth of each parameter of the backbone, by its id: 0, or the number of times that the stride doubles after its layer."""
    depths = {id(parameter): 0 for parameter in backbone.parameters()}
    if not by_stride:
        return depths
    assert isinstance(backbone, Backbone)
    doublings = round(math.log2(max(backbone.strides)))
    for depth in range(1, doublings):
        for layer in layers_up_to(backbone.body, 2 ** (doublings - depth)):
            depths |= {id(parameter): depth for parameter in layer.parameters()}
    backbone.train(backbone.training)
    return depths
