"""Weights of classes in the class loss: equal, by class frequency, or given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from detectors.config import Config
from metrics.errors import InputError
from metrics.registry import did_you_mean

Rule = Literal["equal", "inverse", "sqrt_inverse", "effective"]


class ClassWeightsConfig(Config):
    """Factor of the class loss of positive priors, by class."""

    rule: Rule = "equal"
    """Weight from the number n of training objects of a class: `inverse` 1 / n; `sqrt_inverse` 1 / sqrt(n); `effective`
    (1 - beta) / (1 - beta ^ n) (Cui et al. 2019, section 3.2), scaled to mean 1 over the classes. `equal`: all 1."""
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """effective: 0 is `equal`; the limit 1 is `inverse`."""
    each: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})
    """Weights of single classes by name, which replace those of the rule."""


def class_weights(config: ClassWeightsConfig, counts: Sequence[int], names: Sequence[str]) -> Tensor | None:
    """Weights of all classes; None if all are 1.

    Args:
        config: settings.
        counts: number of training objects of each of C classes. The weight of a class without objects is 1; it is left
            out of the mean.
        names: of the C classes.

    Returns:
        (C,) float32.

    Raises:
        InputError: a weight for a class that the data set does not have; the message suggests the nearest name.
    """
    if config.rule == "equal" and not config.each:
        return None
    weights = _by_rule(config, counts)
    for name, weight in config.each.items():
        if name not in names:
            near = did_you_mean(name, names) or f"; known: {', '.join(names)}"
            raise InputError(f"class_weights.each: the data has no class {name!r}{near}")
        weights[list(names).index(name)] = weight
    return weights.float()


def weigh(cost: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply `cost` (...) by the weights of `labels` (...) in [0, C); unchanged if `weights` is None."""
    return cost if weights is None else cost * weights.to(cost)[labels]


def _by_rule(config: ClassWeightsConfig, counts: Sequence[int]) -> Tensor:
    n = torch.tensor(counts, dtype=torch.float64)
    match config.rule:
        case "equal":
            return torch.ones_like(n)
        case "inverse":
            weights = 1 / n
        case "sqrt_inverse":
            weights = 1 / n.sqrt()
        case "effective":
            weights = (1 - config.beta) / (1 - config.beta**n)
    present = n > 0
    return torch.where(present, weights / weights[present].mean(), 1.0)
