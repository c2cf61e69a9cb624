"""How much each class counts in the class loss: alike, by how rare it is, or as told."""

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
    """By how much the class loss of a prior that must find an object is multiplied, for each class of object."""

    rule: Rule = "equal"
    """By the n training objects of a class: `inverse` 1 / n; `sqrt_inverse` 1 / sqrt(n); `effective` (1 - beta) /
    (1 - beta ^ n) (Cui et al. 2019, section 3.2); all with mean 1 over the classes. `equal`: all 1."""
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """effective: 0 makes all classes equal; towards 1 it becomes `inverse`."""
    each: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})
    """Weights of single classes by name, instead of the rule's."""


def class_weights(config: ClassWeightsConfig, counts: Sequence[int], names: Sequence[str]) -> Tensor | None:
    """The weight of each class; None where all are 1.

    Args:
        config: see there.
        counts: training objects of each of C classes. A class without any weighs 1, whatever the rule, and does not
            count in the mean: no prior will have to find it.
        names: of the C classes.

    Returns:
        (C,) float32.

    Raises:
        InputError: a weight for a class that the data set does not have; the nearest is named.
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
    """`cost` (...) of priors, each times the weight of its label (...) in [0, C); as it is where `weights` is None."""
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
    there = n > 0
    return torch.where(there, weights / weights[there].mean(), 1.0)
