"""Checks of what detectors are called with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.types import Targets
from metrics.errors import InputError
from metrics.plurals import plural


def require_images(images: Tensor) -> None:
    """Raise InputError if `images` is not (B, 3, H, W)."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"images: expected shape (B, 3, H, W), got {tuple(images.shape)}")


def require_targets(targets: Sequence[Targets], images: int, num_classes: int) -> None:
    """Raise InputError if the number of `Targets` is not `images`, or a label is outside [0, num_classes).

    Labels on another device than the CPU are not checked, because this would synchronise it.
    """
    if len(targets) != images:
        raise InputError(f"targets: expected one per image, {images}, got {len(targets)}")
    for number, target in enumerate(targets):
        if not len(target.labels) or target.labels.device.type != "cpu":
            continue
        low, high = torch.aminmax(target.labels)
        if low < 0 or high >= num_classes:
            raise InputError(
                f"targets[{number}].labels: {int(low)} to {int(high)} with {plural(num_classes, 'class')}; "
                f"expected 0 to {num_classes - 1}"
            )
