"""Search ranges and marks of settings, written in the annotation beside the default, in the file of the variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; sampled on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Range({self.low}, {self.high}): low must be below high")
        if self.log and self.low <= 0:
            raise ValueError(f"Range({self.low}, {self.high}): a logarithmic range starts above 0")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `options`."""

    options: tuple[str | int | float | bool, ...]

    def __init__(self, *options: str | int | float | bool) -> None:
        if len(set(options)) < 2:
            raise ValueError(f"Choice{options}: needs two different options")
        object.__setattr__(self, "options", options)


@dataclass(frozen=True, slots=True)
class OnlyIf:
    """Mark of a setting that has an effect only where another one has one of `options`, or is above a number.

    Of several others, given by their dotted paths, one is enough: ``OnlyIf("augment.mosaic", "augment.mixup", above=0)``.
    """

    paths: tuple[str, ...]
    options: tuple[str | int | float | bool, ...]
    above: float | None

    def __init__(
        self, *paths: str, options: Sequence[str | int | float | bool] = (), above: float | None = None
    ) -> None:
        if not paths or bool(options) == (above is not None):
            raise ValueError("OnlyIf: give the paths of other settings, and either options or above")
        object.__setattr__(self, "paths", paths)
        object.__setattr__(self, "options", tuple(options))
        object.__setattr__(self, "above", above)


@dataclass(frozen=True, slots=True)
class PriorSetting:
    """Mark of a setting that changes the priors and nothing else of the network.

    Such settings are fitted to a data set without training (`bench anchors`, `bench tune --space anchors`).
    """


@dataclass(frozen=True, slots=True)
class PredictionSetting:
    """Mark of a setting that only affects prediction, so that trained weights can be used with another value.

    `Config.prediction_only` marks whole sections.
    """
