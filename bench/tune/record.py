"""From a study in Optuna's storage to the facts that its page and its readers take: `reports.records.study.StudyResult`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from optuna.trial import FrozenTrial

from bench.data.types import Dataset
from bench.tune.limits import LIMITED
from bench.tune.outcome import Outcome
from bench.tune.spaces import Scalar, Space, Stage
from bench.tune.storage import RETRY
from bench.tune.study import Study
from reports.records.run import Environment
from reports.records.study import Ending, Finalist, Goal, Limit, Setting, State, StudyResult, TrialFacts

_SECRET = re.compile(r"(\w://[^\s:/@'\"]*:)[^\s'\"]*@")
"""The password in a URL; it may hold an ``@`` itself."""


def record(
    study: Study,
    variant: str,
    stage: Stage,
    dataset: Dataset,
    *,
    asked: int | None = None,
    limits: Sequence[Limit] = (),
    fixed: Mapping[str, Scalar] | None = None,
    pruner: str = "",
    seed: int | None = None,
    storage: str | None = None,
    command: str = "",
    environment: Environment | None = None,
    earlier: Sequence[str] = (),
    ending: Ending | None = None,
) -> StudyResult:
    """The facts of a study, to be saved by `reports.records.study.save_study`.

    Args:
        study: whatever it has by now; trials in hand are told as such.
        variant: the detector's name.
        stage: what a trial of it costs.
        dataset: what it was tuned on.
        asked: trials that were asked for, over all workers.
        limits: what trials had to keep.
        fixed: what earlier stages found.
        pruner: who gave trials up; empty for nobody.
        seed: of the first worker's sampler.
        storage: the database's URL, of which only the kind is told; None for a journal file.
        command: what goes on with the study; a password in a URL is left out.
        environment: where it ran.
        earlier: names of the folders of earlier stages, beside this one's.
        ending: what the best settings were worth, once that is known.
    """
    return StudyResult(
        name=study.name,
        variant=variant,
        stage=stage,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        images=len(dataset.splits["val"]),
        goals=tuple(Goal(text=each.text, higher=each.higher) for each in study.objectives.each),
        limits=tuple(limits),
        space=settings_of(study.space),
        fixed=dict(fixed or {}),
        trials=trials_of(study.study.get_trials(deepcopy=False), study.space, limits),
        asked=asked,
        importances=study.importances(),
        sampler=type(study.study.sampler).__name__.removesuffix("Sampler"),
        pruner=pruner,
        seed=seed,
        storage="journal file" if storage is None else storage.split(":")[0].split("+")[0],
        command=_SECRET.sub(r"\1…@", command),
        environment=environment or Environment(),
        earlier=tuple(earlier),
        ending=ending,
    )


def settings_of(space: Space) -> tuple[Setting, ...]:
    """The dimensions of a space."""
    return tuple(
        Setting(
            path=dimension.path,
            default=dimension.default,
            low=dimension.low,
            high=dimension.high,
            log=dimension.log,
            whole=dimension.whole,
            options=dimension.options,
        )
        for dimension in space
    )


def trials_of(
    trials: Sequence[FrozenTrial], space: Space, limits: Sequence[Limit] = ()
) -> tuple[TrialFacts, ...]:
    """The facts of Optuna's trials.

    A value that is not finite is none: such a trial is told as failed.

    Args:
        trials: all of a study, in order.
        space: of the study.
        limits: whose quantity stands in the attribute `LIMITED`, or follows from Optuna's constraint of that name, which
            is what was measured less the bound.
    """
    replaced = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
    return tuple(_facts(trial, space, limits, replaced) for trial in trials)


def ending_of(
    outcome: Outcome,
    sought: str,
    test_intervals: Mapping[str, tuple[float, float]] | None = None,
    gain_interval: tuple[float, float] | None = None,
) -> Ending:
    """What a tuning came to.

    Args:
        outcome: its entries, the untuned one first.
        sought: the study's own (first) objective.
        test_intervals: by the entry's name, 95% over test images.
        gain_interval: of the difference on test, the chosen one's less the untuned one's.
    """
    return Ending(
        finalists=tuple(
            Finalist(
                name=entry.name,
                values=dict(entry.values),
                tuned=entry.tuned,
                again=entry.again,
                test=entry.test,
                test_interval=(test_intervals or {}).get(entry.name),
            )
            for entry in outcome.entries
        ),
        chosen=outcome.chosen,
        goal=None if outcome.objective == sought else Goal(text=outcome.objective, higher=outcome.higher),
        gain_interval=gain_interval,
        doubt=outcome.gain.doubt if outcome.gain else "",
    )


def _facts(trial: FrozenTrial, space: Space, limits: Sequence[Limit], replaced: set[int]) -> TrialFacts:
    attrs = trial.user_attrs
    reason = str(attrs.get("reason", ""))
    values = trial.values if trial.state.name == "COMPLETE" else None
    state: State = trial.state.name.lower()  # type: ignore[assignment]
    if values is not None and not all(math.isfinite(value) for value in values):
        state, reason, values = "fail", f"not a finite value: {', '.join(map(str, values))}", None
    constraints = trial.constraints
    limited = dict(attrs.get(LIMITED, {}))
    for limit in limits:
        if limit.name in constraints and limit.name not in limited:
            excess = constraints[limit.name]
            limited[limit.name] = limit.bound + (excess if limit.at_most else -excess)
    retry_of = attrs.get(RETRY, trial.system_attrs.get("failed_trial"))
    given_up = reason.endswith("another trial goes on with it") or trial.number in replaced
    return TrialFacts(
        number=trial.number,
        state=state,
        values=tuple(values or ()),
        params=dict(trial.params),
        reason=reason,
        steps=dict(trial.intermediate_values),
        limited=limited,
        feasible=all(value <= 0 for value in constraints.values()) if constraints else None,
        start=_moment(trial.datetime_start),
        end=_moment(trial.datetime_complete),
        worker=str(attrs.get("worker", "")),
        default=bool(attrs.get("default")) or trial.params == space.defaults,
        retry_of=retry_of,
        counts=not (attrs.get("surplus") or given_up),
    )


def _moment(when: datetime | None) -> datetime | None:
    """Optuna's times are local and do not say so."""
    return None if when is None else when.astimezone(UTC)
