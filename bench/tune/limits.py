"""Upper bounds on size and latency that a trial must not exceed, measured before it is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import optuna
import torch
from optuna.trial import Trial
from torch import Tensor, nn

from bench.data.types import Split
from bench.pipeline.inference import with_precision
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.settings.sections import Precision
from bench.tune.trial_attributes import MEASURED
from metrics.errors import InputError
from metrics.registry import did_you_mean
from reports.records.trial import Limit

QUANTITIES: Mapping[str, str] = {
    "parameters": "number of parameters of the network",
    "weights_mb": "size of its weights in 10^6 bytes",
    "latency_ms": "median time from one image's pixels to its detections, with suppression, on this machine",
}
"""What can be limited; the cheapest to measure first."""


def parse_limits(words: Sequence[str]) -> tuple[Limit, ...]:
    """The limits that the words after ``--limit`` describe: ``latency_ms=30``; a later word overrides an earlier one.

    Raises:
        InputError: an unknown quantity, or not a number above 0.
    """
    found = {}
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if name not in QUANTITIES:
            hint = did_you_mean(name, QUANTITIES) or f"; known: {', '.join(QUANTITIES)}"
            raise InputError(f"--limit {word}: unknown quantity {name!r}{hint}")
        try:
            bound = float(text)
        except ValueError:
            bound = math.nan
        if not equals or not 0 < bound < math.inf:
            raise InputError(f"--limit {word}: expected a number above 0, as in {name}=30")
        found[name] = Limit(name=name, bound=bound)
    return tuple(found[name] for name in QUANTITIES if name in found)


class LimitCheck:
    """Measures the limited quantities of networks, and prunes trials that exceed a limit.

    Args:
        limits: to check; may be empty.
        split: images, the first of which is predicted repeatedly to measure latency.
        image: the network's input where a trial does not change it.
        device: on which to measure.
        precision: in which to measure the latency.
    """

    def __init__(
        self,
        limits: Sequence[Limit],
        split: Split,
        image: ImageConfig,
        device: torch.device,
        precision: Precision = "no",
    ) -> None:
        self.limits = tuple(limits)
        self._split = split
        self._image = image
        self._device = device
        self._precision = precision

    def check(
        self, trial: Trial, detector: Callable[[], nn.Module], image: ImageConfig | None = None
    ) -> None:
        """Measure a trial's network, and prune the trial where it exceeds a limit.

        Measurements become a user attribute of the trial, and constraints, from which the sampler learns. What was
        measured before the trial was interrupted is not measured again.

        Args:
            trial: to check.
            detector: builds its network; called only where something has to be measured.
            image: the trial's input.

        Raises:
            TrialPruned: a limit is exceeded; the reason has the measured value.
        """
        measured: dict[str, float] = dict(trial.user_attrs.get(MEASURED, {}))
        network = None
        for limit in self.limits:
            if limit.name not in measured:
                network = network or detector().to(self._device).eval()
                measured[limit.name] = self._measure_one(limit.name, network, image or self._image)
                trial.set_user_attr(MEASURED, measured)
            if limit.name not in trial.constraints:
                trial.set_constraint(limit.name, measured[limit.name] / limit.bound - 1)
            if (
                measured[limit.name] > limit.bound
            ):  # the remaining quantities, which cost more, are not measured
                raise optuna.TrialPruned(f"over the limit: {describe([limit], measured)}")

    def measure(self, detector: nn.Module, image: ImageConfig | None = None) -> dict[str, float]:
        """All limited quantities of a network, by name."""
        network = detector.to(self._device).eval()
        return {
            limit.name: self._measure_one(limit.name, network, image or self._image) for limit in self.limits
        }

    def exceeded(self, measured: Mapping[str, float]) -> tuple[Limit, ...]:
        """The limits that measured quantities exceed."""
        return tuple(limit for limit in self.limits if measured.get(limit.name, 0) > limit.bound)

    def _measure_one(self, name: str, network: Any, image: ImageConfig) -> float:
        if name == "parameters":
            return float(sum(parameter.numel() for parameter in network.parameters()))
        if name == "weights_mb":
            return float(sum(part.nbytes for part in network.state_dict().values())) / 1e6
        from bench.timing import quick_latency

        pixels = self._pixels if image == self._image else _first_image(self._split, image)
        return quick_latency(with_precision(network, self._precision), pixels.to(self._device))

    @cached_property
    def _pixels(self) -> Tensor:
        return _first_image(self._split, self._image)


def describe(limits: Sequence[Limit], measured: Mapping[str, float]) -> str:
    """``latency_ms 41.2 of 30, parameters 3e+06 of 2e+06``."""
    return ", ".join(f"{limit.name} {measured[limit.name]:.4g} of {limit.bound:g}" for limit in limits)


def _first_image(split: Split, image: ImageConfig) -> Tensor:
    """(1, 3, H, W), the split's first image as the network's input."""
    return next(iter(make_loader(split, image, batch_size=1, workers=0))).images
