"""Exponential moving average of the weights of a detector in training."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """Copy of a detector with an exponential moving average of its weights.

    The decay d of update n is the smaller of ``1 - 1 / steps()`` and ``(1 + n) / (warmup + n)``, so that the initial weights
    do not remain in the average of a short training. Buffers (statistics of BatchNorm) are copied.

    torch's `AveragedModel` has the same state. In every update it searches all modules for their parameters and sorts these
    by type, which takes several times as long as averaging the weights of a small detector.

    Args:
        detector: network in training. It must keep its parameters; only their values may change.
        steps: time constant of the average in updates, asked at each; at 1 or below it equals the detector.
        warmup: 1 averages with the full time constant from the first update.

    Attributes:
        module: the copy.
        n_averaged: number of updates so far, on the CPU: reading it does not wait for a GPU.
    """

    n_averaged: Tensor

    def __init__(self, detector: nn.Module, steps: Callable[[], float], warmup: float = 10.0) -> None:
        super().__init__()
        self.module = deepcopy(detector)
        self.register_buffer("n_averaged", torch.tensor(0))
        self._steps = steps
        self._warmup = warmup
        self._averaged: list[Tensor] = [*self.module.parameters()]
        self._current: list[Tensor] = [*detector.parameters()]

    @torch.no_grad()
    def update(self, detector: nn.Module) -> None:
        """Follow an update of the weights of `detector`, of which this was made."""
        n = int(self.n_averaged)
        if n == 0:
            torch._foreach_copy_(self._averaged, self._current)
        else:
            decay = 1 - 1 / max(self._steps(), 1.0)
            weight = 1 - min(decay, (1 + n) / (self._warmup + n))
            torch._foreach_lerp_(self._averaged, self._current, weight)
        buffers = list(self.module.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(detector.buffers()))
        self.n_averaged += 1
