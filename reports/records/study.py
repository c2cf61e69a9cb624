"""What a study leaves on disk: `StudyResult`, the schema of study.json, and `StudyFolder`, which reads and writes it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from metrics.atomic_files import atomic_write
from metrics.plurals import plural
from reports.records.csv import to_csv
from reports.records.final_evaluation import FinalEvaluation, Look
from reports.records.json_record import Record, Settings, find_folder
from reports.records.run import Environment
from reports.records.trial import Dimension, Limit, Scalar, Stage, StudyObjective, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[2] = 2
"""The version that `StudyResult` describes; a change in the meaning of any field raises it."""


class StudyResult(Record):
    """The study of one stage: search space, objectives, every trial, and the final evaluation."""

    KIND: ClassVar = "study"
    REMEDY: ClassVar = "run the same `bench tune` again"

    schema_version: Literal[2] = SCHEMA_VERSION
    name: str = Field(min_length=1)
    """Its name in the storage."""
    variant: str = Field(min_length=1)
    stage: Stage
    data: str = Field(min_length=1)
    """Name of the data set."""
    fingerprint: str = ""
    """Of the data set's content."""
    images: int | None = None
    """Validation images that each trial was measured on."""
    objectives: tuple[StudyObjective, ...] = Field(min_length=1)
    """The first one decides where a single trial has to be chosen."""
    limits: tuple[Limit, ...] = ()
    space: tuple[Dimension, ...] = Field(min_length=1)
    fixed: Settings = Field(default_factory=dict)
    """Settings found by earlier stages, by dotted path; the same in all trials."""
    trials: tuple[TrialRecord, ...] = ()
    """All of them, by number, from 0."""
    requested: int | None = None
    """Requested number of trials, over all workers and calls."""
    importances: dict[str, float] = Field(default_factory=dict)
    """Importance of each setting for the first objective, in any order; they sum to 1. Empty where there are too few
    trials, or all have the same value."""
    importance_evaluator: str = "PED-ANOVA"
    sampler: str = ""
    pruner: str = ""
    """Empty where no trial was stopped early."""
    seed: int | None = None
    """Of the sampler."""
    storage: str = ""
    """``journal file``, or the kind of database; never its address."""
    command: str = ""
    """The command that continues or extends the study."""
    environment: Environment = Environment()
    earlier: tuple[str, ...] = ()
    """Folders of the studies of earlier stages, beside this one."""
    test_looks: tuple[Look, ...] = ()
    """All final evaluations of this study on the test split, in order: one more each time it was extended."""
    final_evaluation: FinalEvaluation | None = None
    """Only in the study of the last stage, once that is finished."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if [trial.number for trial in self.trials] != list(range(len(self.trials))):
            raise ValueError("trials: expected the numbers 0, 1, 2, ... in order")
        paths = [dimension.path for dimension in self.space]
        if len(set(paths)) < len(paths):
            raise ValueError("space: a path occurs twice")
        for trial in self.trials:
            if trial.state == "complete" and len(trial.values) != len(self.objectives):
                raise ValueError(
                    f"trials: number {trial.number} has {plural(len(trial.values), 'value')} for {plural(len(self.objectives), 'objective')}"
                )
        return self

    @property
    def counted(self) -> tuple[TrialRecord, ...]:
        """The requested trials, each once: neither superseded nor surplus ones."""
        return tuple(trial for trial in self.trials if trial.counts)

    @property
    def complete(self) -> tuple[TrialRecord, ...]:
        """Trials with a value, best first by the first objective; infeasible trials come last."""
        sign = -1.0 if self.objectives[0].higher else 1.0
        known = [trial for trial in self.counted if math.isfinite(trial.value)]
        return tuple(sorted(known, key=lambda t: (t.feasible is False, sign * t.value, t.number)))

    @property
    def pareto_front(self) -> tuple[TrialRecord, ...]:
        """Feasible trials that no other feasible trial dominates, in the order of `complete`.

        A trial dominates another if it is at least as good in every objective, and better in one.
        """
        signs = [1.0 if objective.higher else -1.0 for objective in self.objectives]
        candidates = [
            (
                trial,
                [sign * value for sign, value in zip(signs, trial.values, strict=True) if value is not None],
            )
            for trial in self.complete
            if trial.feasible is not False and None not in trial.values
        ]
        return tuple(
            trial
            for trial, mine in candidates
            if not any(
                other != mine and all(a >= b for a, b in zip(other, mine, strict=True))
                for _, other in candidates
            )
        )

    @property
    def default(self) -> TrialRecord | None:
        """The trial with the default settings; None where it has no value."""
        return next((trial for trial in self.complete if trial.default), None)

    @property
    def by_importance(self) -> tuple[tuple[str, float], ...]:
        """Settings with their importances, the most important first, equally important ones by name."""
        return tuple(sorted(self.importances.items(), key=lambda each: (-each[1], each[0])))

    @property
    def states(self) -> dict[str, int]:
        """How many of the requested trials are in each state."""
        return dict(Counter(trial.state for trial in self.counted))

    def to_frame(self) -> pd.DataFrame:
        """One row per trial: number, state, objectives, ``params.*``, limits, times, worker and reason."""
        import pandas as pd

        names = [objective.text for objective in self.objectives]
        titles = ["value"] if len(names) == 1 else [f"values.{name}" for name in names]
        rows = []
        for trial in self.trials:
            row: dict[str, object] = {"number": trial.number, "state": trial.state}
            row |= dict.fromkeys(titles) | dict(zip(titles, trial.values, strict=False))
            for path in (dimension.path for dimension in self.space):
                row[f"params.{path}"] = _cell(trial.params[path]) if path in trial.params else None
            row |= {f"measured.{limit.name}": trial.measured.get(limit.name) for limit in self.limits}
            row |= {
                "feasible": trial.feasible,
                "images_seen": max(trial.intermediate_values, default=None),
                "seconds": trial.seconds,
                "started": None if trial.started is None else trial.started.isoformat(),
                "finished": None if trial.finished is None else trial.finished.isoformat(),
                "worker": trial.worker,
                "default": trial.default,
                "retry_of": trial.retry_of,
                "superseded": trial.superseded,
                "surplus": trial.surplus,
                "reason": trial.reason,
            }
            rows.append(row)
        frame = pd.DataFrame(rows, dtype=object)
        for name, column in frame.items():
            whole = column.map(lambda cell: cell is None or type(cell) is int).all()
            frame[name] = column.astype("Int64") if whole else column.infer_objects()
        return frame


class StudyFolder:
    """A study on disk.

    Attributes:
        path: the folder.
        result: content of its study.json.
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
        """Open a study by its folder, or by the study.json in it.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        absent = "; give the folder of a study, or continue its `bench tune`"
        folder = find_folder(path, cls.RESULT, "a study", absent)
        return cls(folder, StudyResult.load(folder / cls.RESULT))

    @classmethod
    def save(cls, path: str | Path, result: StudyResult) -> StudyFolder:
        """Write study.json and trials.csv into a folder, which is created if missing; each file is whole or absent."""
        folder = Path(path)
        atomic_write(folder / cls.TRIALS, to_csv(result.to_frame()))
        atomic_write(folder / cls.RESULT, result.to_json())
        return cls(folder, result)

    @cached_property
    def stages(self) -> tuple[StudyResult, ...]:
        """The studies of all stages, in order: earlier ones whose folders still exist, then this one."""
        files = [self.path.parent / Path(name).name / self.RESULT for name in self.result.earlier]
        return (*(StudyResult.load(file) for file in files if file.is_file()), self.result)

    @property
    def winner(self) -> str:
        """The chosen settings as TOML; empty where there is no file."""
        file = self.path / self.WINNER
        return file.read_text(encoding="utf-8") if file.is_file() else ""


def changed_settings(result: StudyResult, values: Mapping[str, Scalar]) -> dict[str, tuple[Scalar, Scalar]]:
    """(default, value) of each setting in `values` that is not at its default, by path, in the order of the space."""
    return {
        dimension.path: (dimension.default, values[dimension.path])
        for dimension in result.space
        if dimension.path in values and values[dimension.path] != dimension.default
    }


def _cell(value: Scalar) -> object:
    """`value` in TOML's words; an empty cell means that the trial was not given this setting."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else value
