"""What a study leaves for readers: `StudyResult`, its schema, and `StudyFolder`, where it lies beside winner and trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from reports.records.atomic_files import atomic_write
from reports.records.csv import to_csv
from reports.records.json_record import FiniteOrNone, FrozenModel, Record, Settings, find_folder
from reports.records.run import Environment

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[1] = 1
"""The version that `StudyResult` describes; a change in the meaning of any field raises it."""

Scalar = str | bool | int | float | None
"""A setting's value; a list is written as text, ``96,96``."""

State = Literal["complete", "pruned", "fail", "running", "waiting"]
"""Of a trial: it has values; others did better early on; it has none, and says why; in hand; queued."""


class Setting(FrozenModel):
    """One dimension of the space.

    A number has `low` and `high`, both included; anything else has `options`.
    """

    path: str = Field(min_length=1)
    """Dotted: ``nms.iou``."""
    default: Scalar = None
    """Without tuning."""
    low: float | None = None
    high: float | None = None
    log: bool = False
    """Whether it was searched on a logarithmic scale."""
    whole: bool = False
    """Whether it takes whole numbers only."""
    options: tuple[Scalar, ...] = ()

    @model_validator(mode="after")
    def _is_range_or_options(self) -> Self:
        if not self.options and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError(f"{self.path}: neither options nor a range")
        return self

    def holds(self, value: Scalar) -> bool:
        """Whether a trial may have this value."""
        if self.options:
            return any(value == each and type(value) is type(each) for each in self.options)
        if (
            self.low is None
            or self.high is None
            or isinstance(value, bool)
            or not isinstance(value, int | float)
        ):
            return False
        return self.low <= value <= self.high


class Goal(FrozenModel):
    """An objective."""

    text: str = Field(min_length=1)
    """As typed: ``ap``, ``0.7*ap + 0.3*ap_small``."""
    higher: bool = True
    """Whether more is better."""


class Limit(FrozenModel):
    """What a trial must keep to be feasible, whatever its values."""

    name: str = Field(min_length=1)
    """What is limited, its unit in the name: ``latency_ms``."""
    bound: float
    at_most: bool = True
    """Whether `bound` is the most that is allowed; else the least."""


class TrialFacts(FrozenModel):
    """One trial."""

    number: int = Field(ge=0)
    state: State
    values: tuple[FiniteOrNone, ...] = ()
    """Of each objective on the validation images; none unless the trial is complete."""
    params: dict[str, Scalar] = Field(default_factory=dict)
    """By dotted path; some or all may be missing where a trial ended before it was given them."""
    reason: str = ""
    """Why it has no value."""
    steps: dict[int, FiniteOrNone] = Field(default_factory=dict)
    """The (first) objective between epochs, by images seen."""
    limited: dict[str, FiniteOrNone] = Field(default_factory=dict)
    """What was measured of each limited quantity, by the limit's name."""
    feasible: bool | None = None
    """Whether it keeps all limits; None where there are none, or they were not measured."""
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    worker: str = ""
    """Which process worked on it; says only which trials had the same one."""
    default: bool = False
    """Whether it has the untuned settings on purpose."""
    retry_of: int | None = None
    """The trial in whose place it is, whose worker was gone."""
    counts: bool = True
    """False for a trial that another goes on with, and for one that nobody asked for."""

    @property
    def value(self) -> float:
        """Of the first objective; NaN where there is none."""
        value = self.values[0] if self.state == "complete" and self.values else None
        return math.nan if value is None else value

    @property
    def seconds(self) -> float:
        """Wall clock; NaN where it is not known."""
        return math.nan if self.start is None or self.end is None else (self.end - self.start).total_seconds()


class Finalist(FrozenModel):
    """Settings that reached the ending."""

    name: str = Field(min_length=1)
    """``default``, or ``trial 17``."""
    values: dict[str, Scalar] = Field(default_factory=dict)
    """The tuned settings by dotted path; empty for the untuned ones."""
    tuned: FiniteOrNone = None
    """The (first) objective in the study, on validation."""
    again: tuple[FiniteOrNone, ...] = ()
    """On validation, one value for each fresh seed."""
    test: tuple[FiniteOrNone, ...] = ()
    """On test, one value for each set of weights; empty unless it is the chosen one or the untuned one."""
    test_interval: tuple[float, float] | None = None
    """95%, over test images (and seeds, where there are several), of the mean of `test`."""

    @property
    def mean_again(self) -> float:
        """The mean of the fresh runs; NaN where there are none."""
        return _mean(self.again)

    @property
    def mean_test(self) -> float:
        """On test; NaN where nobody looked."""
        return _mean(self.test)

    @property
    def optimism(self) -> float:
        """The study's value less the mean of the fresh runs: what the search took for skill. NaN where not known."""
        return math.nan if self.tuned is None else self.tuned - self.mean_again


class Ending(FrozenModel):
    """What the best settings were worth when they were run again."""

    finalists: tuple[Finalist, ...] = Field(min_length=1)
    """The untuned settings first."""
    chosen: str
    """Name of the finalist that did best on validation."""
    goal: Goal | None = None
    """What finalists were measured by, where that is not what the study sought: priors are fitted, and detectors compared."""
    gain_interval: tuple[float, float] | None = None
    """95%, likewise, of what the chosen one has on test above the untuned one; None where they are the same."""
    doubt: str = ""
    """Why that may be chance, even where the interval is on one side of 0; empty where it is more, or nobody said."""

    @model_validator(mode="after")
    def _chose_a_finalist(self) -> Self:
        names = [finalist.name for finalist in self.finalists]
        if self.chosen not in names or len(set(names)) < len(names):
            raise ValueError(f"chosen: {self.chosen!r} is not one of {names}, each once")
        return self

    @property
    def winner(self) -> Finalist:
        """The chosen one."""
        return next(each for each in self.finalists if each.name == self.chosen)

    @property
    def default(self) -> Finalist | None:
        """The untuned one."""
        return next((each for each in self.finalists if each.name == "default"), None)

    @property
    def gain(self) -> float:
        """On test, the chosen one's value less the untuned one's; NaN where it is not known."""
        return math.nan if self.default is None else self.winner.mean_test - self.default.mean_test


class StudyResult(Record):
    """A study of one stage: what was sought where, every trial, and how it ended."""

    KIND: ClassVar = "study"
    REMEDY: ClassVar = "run the same `bench tune` again"

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(min_length=1)
    """The study's, in its storage too."""
    variant: str = Field(min_length=1)
    stage: str = Field(min_length=1)
    """``anchors``, ``train``, ``nms``."""
    data: str = Field(min_length=1)
    """What the user calls the data set."""
    fingerprint: str = ""
    """Of the data set."""
    images: int | None = None
    """Validation images that each trial was measured on."""
    goals: tuple[Goal, ...] = Field(min_length=1)
    """Of several the first decides where one trial has to be chosen."""
    limits: tuple[Limit, ...] = ()
    space: tuple[Setting, ...] = Field(min_length=1)
    fixed: Settings = Field(default_factory=dict)
    """What earlier stages found, by dotted path: the same in all trials."""
    trials: tuple[TrialFacts, ...] = ()
    """All of them, in the order of their numbers, which begin at 0."""
    asked: int | None = None
    """How many trials were asked for, over all workers and calls."""
    importances: dict[str, float] = Field(default_factory=dict)
    """How much each setting mattered for the first objective, the most important first; they sum to 1. Empty where
    there were too few trials to say, or nothing made a difference."""
    evaluator: str = "PED-ANOVA"
    """What told the importances."""
    sampler: str = ""
    """Who chose the trials: ``TPE``."""
    pruner: str = ""
    """Who gave trials up: ``hyperband``; empty for nobody."""
    seed: int | None = None
    """Of the first worker's sampler."""
    storage: str = ""
    """``journal file``, or the kind of database: never its address."""
    command: str = ""
    """What goes on with the study, or extends it."""
    environment: Environment = Environment()
    earlier: tuple[str, ...] = ()
    """Folders, beside this one, of the studies of earlier stages."""
    ending: Ending | None = None
    """In the study of the last stage, once it has ended."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if [trial.number for trial in self.trials] != list(range(len(self.trials))):
            raise ValueError("trials: expected the numbers 0, 1, 2, ... in order")
        paths = [setting.path for setting in self.space]
        if len(set(paths)) < len(paths):
            raise ValueError("space: a path stands there twice")
        for trial in self.trials:
            if trial.state == "complete" and len(trial.values) != len(self.goals):
                raise ValueError(
                    f"trials: number {trial.number} has {len(trial.values)} values for {len(self.goals)} objectives"
                )
        return self

    @property
    def ending_goal(self) -> Goal:
        """What finalists were measured by: the first objective, unless the ending says otherwise."""
        return self.goals[0] if self.ending is None or self.ending.goal is None else self.ending.goal

    @property
    def counted(self) -> tuple[TrialFacts, ...]:
        """The trials that were asked for, each once."""
        return tuple(trial for trial in self.trials if trial.counts)

    @property
    def complete(self) -> tuple[TrialFacts, ...]:
        """Trials that have a value, the best by the first objective first, feasible ones before the others."""
        sign = -1.0 if self.goals[0].higher else 1.0
        known = [trial for trial in self.counted if math.isfinite(trial.value)]
        return tuple(sorted(known, key=lambda t: (t.feasible is False, sign * t.value, t.number)))

    @property
    def default(self) -> TrialFacts | None:
        """The trial of the untuned settings; None where it has no value."""
        return next((trial for trial in self.complete if trial.default), None)

    @property
    def states(self) -> dict[str, int]:
        """How many trials are in which state, of those that count."""
        counts: dict[str, int] = {}
        for trial in self.counted:
            counts[trial.state] = counts.get(trial.state, 0) + 1
        return counts

    def to_frame(self) -> pd.DataFrame:
        """One row a trial: number, state, a column for each objective, ``params.*``, reason, times, worker, limits."""
        import pandas as pd

        names = [goal.text for goal in self.goals]
        titles = ["value"] if len(names) == 1 else [f"values.{name}" for name in names]
        rows = []
        for trial in self.trials:
            row: dict[str, object] = {"number": trial.number, "state": trial.state}
            row |= dict.fromkeys(titles) | dict(zip(titles, trial.values, strict=False))
            row |= {
                f"params.{setting.path}": _cell(trial.params[setting.path])
                if setting.path in trial.params
                else None
                for setting in self.space
            }
            row |= {f"limited.{limit.name}": trial.limited.get(limit.name) for limit in self.limits}
            row |= {
                "feasible": trial.feasible,
                "images_seen": max(trial.steps, default=None),
                "seconds": trial.seconds,
                "start": None if trial.start is None else trial.start.isoformat(),
                "end": None if trial.end is None else trial.end.isoformat(),
                "worker": trial.worker,
                "default": trial.default,
                "retry_of": trial.retry_of,
                "counts": trial.counts,
                "reason": trial.reason,
            }
            rows.append(row)
        frame = pd.DataFrame(rows)
        for name in ("images_seen", "retry_of"):
            if name in frame:
                frame[name] = frame[name].astype("Int64")
        return frame


class StudyFolder:
    """A study on disk.

    Attributes:
        path: the folder.
        result: what it says of itself.
    """

    RESULT = "study.json"
    WINNER = "winner.toml"
    TRIALS = "trials.csv"
    PAGE = "report.html"

    def __init__(self, path: Path, result: StudyResult) -> None:
        self.path = path
        self.result = result

    def __repr__(self) -> str:
        return f"StudyFolder({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path) -> StudyFolder:
        """The study in the folder `path`, or in the folder of the `study.json` that `path` is.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        absent = "; give the folder of a study, or go on with its `bench tune`"
        folder = find_folder(path, cls.RESULT, "a study", absent)
        return cls(folder, StudyResult.load(folder / cls.RESULT))

    @cached_property
    def stages(self) -> tuple[StudyResult, ...]:
        """The studies of earlier stages that are still there, and this one, in the order in which they were made."""
        before = []
        for name in self.result.earlier:
            file = self.path.parent / Path(name).name / self.RESULT
            if file.is_file():
                before.append(StudyResult.load(file))
        return (*before, self.result)

    @property
    def winner(self) -> str:
        """The chosen settings as TOML; empty where there is no file."""
        file = self.path / self.WINNER
        return file.read_text(encoding="utf-8") if file.is_file() else ""


def save_study(folder: str | Path, result: StudyResult) -> StudyFolder:
    """Write `study.json` and `trials.csv` into `folder` (made where missing) and open it; each is whole or absent."""
    folder = Path(folder)
    atomic_write(folder / StudyFolder.TRIALS, to_csv(result.to_frame()))
    atomic_write(folder / StudyFolder.RESULT, result.to_json())
    return StudyFolder.open(folder)


def changed_settings(result: StudyResult, values: Mapping[str, Scalar]) -> dict[str, tuple[Scalar, Scalar]]:
    """The settings of the space whose value is not the untuned one: (untuned, value) by path, in the space's order."""
    return {
        setting.path: (setting.default, values[setting.path])
        for setting in result.space
        if setting.path in values and values[setting.path] != setting.default
    }


def _mean(values: tuple[FiniteOrNone, ...]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else math.nan


def _cell(value: Scalar) -> object:
    """As TOML would say it; an empty cell is a setting that the trial was not given."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else value
