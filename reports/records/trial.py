"""Search space, objectives, limits and trials of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from reports.records.json_record import FiniteOrNone, FrozenModel

Scalar = str | bool | int | float | None
"""A setting's value; a list is written as text, ``96,96``."""

Stage = Literal["anchors", "train", "nms", "compression"]

STAGES: tuple[Stage, ...] = ("anchors", "train", "nms")
"""In the order in which they are tuned; a study of compression has no other stage."""

TrialState = Literal["complete", "pruned", "fail", "running", "waiting"]
"""Optuna's states, in lower case."""


class Condition(FrozenModel):
    """Where a setting has an effect: another one, of the same search space, has one of some values or is above a number."""

    paths: tuple[str, ...]
    """Of the other settings; one of them is enough."""
    options: tuple[Scalar, ...] = ()
    above: float | None = None

    def holds(self, values: Mapping[str, Scalar]) -> bool:
        """Whether the setting has an effect beside these values; it may have one where a value is not given."""
        return any(path not in values or self.accepts(values[path]) for path in self.paths)

    def accepts(self, value: Scalar) -> bool:
        """Whether the setting has an effect beside this value of another one."""
        if self.above is None:
            return value in self.options
        return is_number(value) and value > self.above  # type: ignore[operator]


class Dimension(FrozenModel):
    """One setting of the search space: a range of numbers (`low`, `high`), or a choice among `options`."""

    path: str = Field(min_length=1)
    """Dotted: ``nms.iou``."""
    stage: Stage = "train"
    """In which it is tuned."""
    default: Scalar = None
    """The value without tuning."""
    low: float | None = None
    """Included, as is `high`."""
    high: float | None = None
    log: bool = False
    """Whether the range is searched on a logarithmic scale."""
    whole: bool = False
    """Whether only whole numbers are tried."""
    options: tuple[Scalar, ...] = ()
    only_if: Condition | None = None
    """Where it has an effect; None: always. It is not tried elsewhere."""

    @model_validator(mode="after")
    def _is_range_or_options(self) -> Self:
        if not self.options and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError(f"{self.path}: neither options nor a range")
        return self

    def contains(self, value: Scalar) -> bool:
        """Whether `value` is one of the options, or a number in the range; True and 1 are different options."""
        if self.options:
            return any(value == option and type(value) is type(option) for option in self.options)
        assert self.low is not None
        assert self.high is not None
        return is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def __str__(self) -> str:
        """As ``--space`` takes it: ``nms.iou=0.3:0.8``."""
        if self.options:
            texts = [str(o).lower() if o is None or isinstance(o, bool) else str(o) for o in self.options]
            return f"{self.path}={'|'.join(texts)}"
        return f"{self.path}={self.low:g}:{self.high:g}{':log' if self.log else ''}"


class StudyObjective(FrozenModel):
    """What a study optimized."""

    text: str = Field(min_length=1)
    """As it was given: ``ap``, ``0.7*ap + 0.3*ap_small``."""
    higher: bool = True
    """Whether higher values are better."""


class Limit(FrozenModel):
    """An upper bound that a trial must not exceed to be feasible."""

    name: str = Field(min_length=1)
    """The quantity, with its unit: ``latency_ms``."""
    bound: float

    def __str__(self) -> str:
        return f"{self.name}={self.bound:g}"


class TrialRecord(FrozenModel):
    """One trial."""

    number: int = Field(ge=0)
    state: TrialState
    values: tuple[FiniteOrNone, ...] = ()
    """One per objective, on the validation images; empty unless the trial is complete."""
    params: dict[str, Scalar] = Field(default_factory=dict)
    """By dotted path; incomplete where the trial ended before all of them were drawn."""
    reason: str = ""
    """Why it has no value, for people."""
    intermediate_values: dict[int, FiniteOrNone] = Field(default_factory=dict)
    """The (first) objective after each epoch, by training images seen."""
    measured: dict[str, FiniteOrNone] = Field(default_factory=dict)
    """Measured value of each limited quantity, by the limit's name."""
    feasible: bool | None = None
    """Whether all limits hold; None where there are none, or nothing was measured."""
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    worker: str = ""
    """An anonymous id of the process that ran it."""
    default: bool = False
    """Whether it has the default settings."""
    retry_of: int | None = None
    """The trial that it replaces, whose worker died or was stopped."""
    superseded: bool = False
    """Whether another trial replaces it."""
    surplus: bool = False
    """Whether it exceeds the requested number: two workers started the last trial at the same time."""

    @property
    def counts(self) -> bool:
        """Whether it is one of the requested trials: neither superseded nor surplus."""
        return not (self.superseded or self.surplus)

    @property
    def value(self) -> float:
        """Value of the first objective; NaN unless the trial is complete."""
        value = self.values[0] if self.state == "complete" and self.values else None
        return math.nan if value is None else value

    @property
    def seconds(self) -> float:
        """Wall-clock duration; NaN where unknown."""
        if self.started is None or self.finished is None:
            return math.nan
        return (self.finished - self.started).total_seconds()


def is_number(value: object) -> bool:
    """Whether a setting's value is a number; bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
