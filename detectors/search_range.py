"""Search ranges and marks of settings, written in the annotation beside the default, in the file of the variant."""

from __future__ import annotations

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
    """Mark of a setting that has an effect only where another one, given by its dotted path, has one of `options`."""

    path: str
    options: tuple[str | int | float | bool, ...]

    def __init__(self, path: str, *options: str | int | float | bool) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "options", options)


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
