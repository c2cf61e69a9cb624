"""A forward and backward pass before the training, of which time or memory is measured."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn

from bench.data.types import Split
from bench.pipeline.input_sizes import sizes_around
from bench.pipeline.loader import Batch, make_loader
from bench.settings.config import RunConfig
from bench.training.gradient import moved
from detectors.registry import VARIANTS
from detectors.types import Detector, divide_sums


def trial_batch(split: Split, config: RunConfig, images: int, largest: bool = False) -> Batch:
    """The first images of a split without augmentation; fewer if it has fewer.

    Args:
        split: training images, at least one.
        config: settings of the run.
        images: number of images.
        largest: in the largest size of multi-scale training.
    """
    image, spread = config.image, config.train.multi_scale
    if largest and spread:
        image = image.model_copy(update={"size": sizes_around(image.size, spread)[-1]})
    label_maps = VARIANTS[config.variant].label_maps
    return next(iter(make_loader(split, image, None, images, config.seed, 0, label_maps=label_maps)))


def trial_pass(
    network: nn.Module, batch: Batch, device: torch.device, autocast: AbstractContextManager[Any]
) -> None:
    """Compute the loss of a batch and its gradient, and discard both."""
    with autocast:
        output = network(batch.images.to(device))
    sums = cast(Detector, network).loss_sums(output, moved(batch.targets, device))
    torch.stack(list(divide_sums(sums).values())).sum().backward()  # type: ignore[no-untyped-call]
    network.zero_grad()
