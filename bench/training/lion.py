"""Lion, an optimizer that updates by the sign of a momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """Chen et al. 2023 (arXiv:2302.06675), algorithm 2: all weights change by the learning rate, up or down.

    Its learning rate should be 3 to 10 times smaller than that of AdamW, its weight decay as many times larger (section 5).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: weight of the momentum in the update, and decay of the momentum.
        weight_decay: decoupled, as that of AdamW.
    """

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None, "Lion.step: takes no closure"
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            momenta: list[Tensor] = []
            for weight in weights:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momenta.append(state["momentum"])
            fast, slow = group["betas"]
            updates = torch._foreach_lerp(momenta, gradients, 1 - fast)
            torch._foreach_sign_(updates)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, updates, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1 - slow)
