"""Limits that the settings of a trial must keep, measured before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
import torch
from optuna.trial import Trial
from torch import Tensor, nn

from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from metrics.errors import InputError
from metrics.registry import did_you_mean

KNOWN: Mapping[str, str] = {
    "parameters": "numbers in the network",
    "weights_mb": "what its weights take, in millions of bytes",
    "latency_ms": "median time of one image from pixels to detections, suppression included, on this machine",
}
"""What can be limited; what costs least to measure comes first."""


LIMITED = "limited"
"""User attribute of a trial: what was measured of each limited quantity, by name."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of something that a trial may have.

    Attributes:
        name: one of `KNOWN`.
        most: above 0.
    """

    name: str
    most: float

    def __str__(self) -> str:
        return f"{self.name}={self.most:g}"


def parse_limits(words: Sequence[str]) -> tuple[Limit, ...]:
    """The limits that the words after ``--limit`` name: ``latency_ms=30``; a later word overrules an earlier one.

    Raises:
        InputError: no limit of that name, or no number above 0.
    """
    found = {}
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if name not in KNOWN:
            hint = did_you_mean(name, KNOWN) or f"; known: {', '.join(KNOWN)}"
            raise InputError(f"--limit {word}: nothing called {name!r} can be limited{hint}")
        try:
            most = float(text)
        except ValueError:
            most = math.nan
        if not equals or not 0 < most < math.inf:
            raise InputError(f"--limit {word}: expected a number above 0, as in {name}=30")
        found[name] = Limit(name, most)
    return tuple(found[name] for name in KNOWN if name in found)


class Limits:
    """Holds trials to some limits.

    Args:
        limits: what must be kept; may be none.
        split: images, of which the first is predicted again and again for the latency.
        image: the network's input where a trial does not change it.
        device: where to measure.
    """

    def __init__(
        self, limits: Sequence[Limit], split: Split, image: ImageConfig, device: torch.device
    ) -> None:
        self.limits = tuple(limits)
        self._split = split
        self._image = image
        self._device = device

    def __bool__(self) -> bool:
        return bool(self.limits)

    def hold(self, trial: Trial, detector: Callable[[], nn.Module], image: ImageConfig | None = None) -> None:
        """Measure a trial's network and end the trial where it does not keep the limits.

        What was measured stays on the trial, as user attribute and as constraint, from which the sampler learns. What an
        earlier worker measured for the same trial is not measured again.

        Args:
            trial: it.
            detector: gives its network; only called where something has to be measured.
            image: the trial's input.

        Raises:
            TrialPruned: a limit is not kept; the reason has the number.
        """
        known: dict[str, float] = dict(trial.user_attrs.get(LIMITED, {}))
        network = None
        for limit in self.limits:
            if limit.name not in known:
                network = network or detector().to(self._device).eval()
                known[limit.name] = self._measured(limit.name, network, image or self._image)
                trial.set_user_attr(LIMITED, known)
            if limit.name not in trial.constraints:
                trial.set_constraint(limit.name, known[limit.name] / limit.most - 1)
            if known[limit.name] > limit.most:  # then the dearer ones need not be measured
                raise optuna.TrialPruned(f"over the limit: {said([limit], known)}")

    def measured(self, detector: nn.Module, image: ImageConfig | None = None) -> dict[str, float]:
        """Everything that is limited, of one network, by name."""
        network = detector.to(self._device).eval()
        return {
            limit.name: self._measured(limit.name, network, image or self._image) for limit in self.limits
        }

    def over(self, measured: Mapping[str, float]) -> str:
        """What is above its limit, in words; empty where all are kept."""
        return said([limit for limit in self.limits if measured.get(limit.name, 0) > limit.most], measured)

    def _measured(self, name: str, network: Any, image: ImageConfig) -> float:
        if name == "parameters":
            return float(sum(parameter.numel() for parameter in network.parameters()))
        if name == "weights_mb":
            return float(sum(part.nbytes for part in network.state_dict().values())) / 1e6
        from bench.timing import quick_latency

        pixels = self._pixels if image == self._image else _first(self._split, image)
        return quick_latency(network, pixels.to(self._device))

    @cached_property
    def _pixels(self) -> Tensor:
        return _first(self._split, self._image)


def said(limits: Sequence[Limit], measured: Mapping[str, float]) -> str:
    """``latency_ms 41.2 of 30, parameters 3e+06 of 2e+06``."""
    return ", ".join(f"{limit.name} {measured[limit.name]:.4g} of {limit.most:g}" for limit in limits)


def _first(split: Split, image: ImageConfig) -> Tensor:
    """(1, 3, H, W), the split's first image as the network sees it."""
    return next(iter(make_loader(split, image, batch_size=1, workers=0))).images
