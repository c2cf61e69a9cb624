"""From a study in Optuna's storage to the record that reports read: `reports.records.study.StudyResult`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial
from sqlalchemy import make_url

from bench.tune.search_space import Space
from bench.tune.study import Study
from bench.tune.trial_attributes import (
    DEFAULT,
    MEASURED,
    REASON,
    RETRY_OF,
    SURPLUS,
    WORKER,
    superseded,
)
from reports.records.study import StudyResult
from reports.records.trial import StudyObjective, TrialRecord, TrialState

_PASSWORD = re.compile(r"(\w://[^\s:/@'\"]*:)[^\s'\"]*@")
"""The password in a URL; it may contain an ``@`` itself."""


def study_result(study: Study, storage: str | None = None, command: str = "", **facts: Any) -> StudyResult:
    """The record of a study in its present state; running trials are included.

    Args:
        study: to record.
        storage: the database's URL, of which only the kind is recorded; None for a journal file.
        command: the command that continues the study; a password in a URL is omitted.
        **facts: further fields of `StudyResult`.
    """
    return StudyResult(
        name=study.name,
        objectives=tuple(
            StudyObjective(text=each.text, higher=each.higher) for each in study.objectives.each
        ),
        space=study.space.dimensions,
        trials=trial_records(study.study.get_trials(deepcopy=False), study.space),
        importances=study.importances(),
        sampler="TPE",
        storage="journal file" if storage is None else make_url(storage).get_backend_name(),
        command=_PASSWORD.sub(r"\1…@", command),
        **facts,
    )


def trial_records(trials: Sequence[FrozenTrial], space: Space) -> tuple[TrialRecord, ...]:
    """Records of all trials of a study, in order; a trial with an infinite value is recorded as failed."""
    replaced = superseded(trials)
    return tuple(_trial_record(trial, space, replaced) for trial in trials)


def _trial_record(trial: FrozenTrial, space: Space, replaced: Collection[int]) -> TrialRecord:
    attributes, constraints = trial.user_attrs, trial.constraints
    state: TrialState = trial.state.name.lower()  # type: ignore[assignment]
    values = trial.values if state == "complete" else None
    reason = str(attributes.get(REASON, ""))
    if values is not None and not all(math.isfinite(value) for value in values):
        state, reason, values = "fail", f"not a finite value: {', '.join(map(str, values))}", None
    return TrialRecord(
        number=trial.number,
        state=state,
        values=tuple(values or ()),
        params=dict(trial.params),
        reason=reason,
        intermediate_values=dict(trial.intermediate_values),
        measured=dict(attributes.get(MEASURED, {})),
        feasible=all(value <= 0 for value in constraints.values()) if constraints else None,
        started=_utc(trial.datetime_start),
        finished=_utc(trial.datetime_complete),
        worker=str(attributes.get(WORKER, "")),
        default=bool(attributes.get(DEFAULT)) or trial.params == space.defaults,
        retry_of=attributes.get(RETRY_OF),
        superseded=trial.number in replaced,
        surplus=bool(attributes.get(SURPLUS)),
    )


def _utc(local: datetime | None) -> datetime | None:
    """Optuna's times are local, without a time zone."""
    return None if local is None else local.astimezone(UTC)
