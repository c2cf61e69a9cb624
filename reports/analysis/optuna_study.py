"""A recorded study as Optuna knows one, in memory: for its figures, which take nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reports.elements import formatting
from reports.records.study import Scalar, Setting, StudyResult, TrialFacts

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LONGEST_NAME = 28
LONGEST_OPTION = 14

_LONG_AGO = datetime(1970, 1, 1)
"""When the first trial began: figures show what has passed since then."""


def optuna_study(result: StudyResult, goals: int = 1) -> optuna.Study:
    """The same trials under the same numbers, their settings and options named as a figure shows them.

    Settings have the ranges and options of the space, widened where a trial lies outside of them. A trial that is still
    in hand is one that waits. Times count from the first trial's start.

    Args:
        result: any study; it need not have a trial.
        goals: how many of its objectives, the first ones.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            directions=["maximize" if goal.higher else "minimize" for goal in result.goals[:goals]]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(goal_names(result)[:goals])
        names, known = setting_names(result), {}
        for setting in result.space:
            taken = [trial.params[setting.path] for trial in result.trials if setting.path in trial.params]
            known[setting.path] = _distribution(setting, taken)
        begun = [trial.start for trial in result.trials if trial.start is not None]
        first = min(begun, default=datetime(1970, 1, 1, tzinfo=UTC))
        study.add_trials([_frozen(trial, result, goals, names, known, first) for trial in result.trials])
        return study
    finally:
        optuna.logging.set_verbosity(verbosity)


def setting_names(result: StudyResult) -> dict[str, str]:
    """How a figure calls each setting, by path; no two alike."""
    return _unlike([setting.path for setting in result.space])


def goal_names(result: StudyResult) -> list[str]:
    """How a figure calls each objective."""
    return [formatting.truncate(goal.text, LONGEST_NAME) for goal in result.goals]


def option_text(value: Scalar) -> str:
    """An option as TOML would say it: ``true``, ``none``, ``hard``; a list without members is ``empty``."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return (formatting.printable(value) or "empty") if isinstance(value, str) else f"{value:g}"


def _unlike(paths: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for path in paths:
        name = formatting.truncate(path, LONGEST_NAME)
        if name in names.values():
            name = f"{formatting.truncate(path, LONGEST_NAME - 4)} ({len(names)})"
        names[path] = name
    return names


def _distribution(setting: Setting, taken: list[Scalar]) -> tuple[BaseDistribution, dict[str, str] | None]:
    """Where a setting may go, all values that trials took included; and for options how a figure calls each."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = [value for value in taken if isinstance(value, int | float) and not isinstance(value, bool)]
    if not setting.options and len(numbers) == len(taken):
        assert setting.low is not None
        assert setting.high is not None
        low, high = min([setting.low, *numbers]), max([setting.high, *numbers])
        log = setting.log and low > 0
        if setting.whole and all(number == int(number) for number in (low, high, *numbers)):
            return IntDistribution(int(low), int(high), log=log), None
        return FloatDistribution(float(low), float(high), log=log), None
    options = (*setting.options, *taken)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in options):
        return CategoricalDistribution(tuple(dict.fromkeys(options))), None
    texts = [option_text(value) for value in options]
    whole = {text: formatting.truncate(text, LONGEST_OPTION) for text in dict.fromkeys(texts)}
    if len(set(whole.values())) < len(whole):
        whole = {text: f"{at}: {short[:-3]}" for at, (text, short) in enumerate(whole.items())}
    return CategoricalDistribution(tuple(whole.values())), whole


def _frozen(
    trial: TrialFacts,
    result: StudyResult,
    goals: int,
    names: Mapping[str, str],
    known: Mapping[str, tuple[BaseDistribution, dict[str, str] | None]],
    first: datetime,
) -> FrozenTrial:
    import optuna
    from optuna.trial import TrialState

    params: dict[str, Any] = {}
    for path, value in trial.params.items():
        if path in names:
            options = known[path][1]
            params[names[path]] = value if options is None else options[option_text(value)]
    values = [value for value in trial.values[:goals] if value is not None]
    state = TrialState[trial.state.upper()]
    if state == TrialState.RUNNING:
        state = TrialState.WAITING
    if state == TrialState.COMPLETE and (len(values) < goals or not trial.counts):
        state = TrialState.FAIL
    frozen = optuna.trial.create_trial(
        state=state,
        values=values if state == TrialState.COMPLETE else None,
        params=params,
        distributions={names[path]: known[path][0] for path in trial.params if path in names},
        intermediate_values={step: value for step, value in trial.steps.items() if value is not None},
        constraints=_constraints(trial, result),
    )
    if state != TrialState.WAITING:
        start = trial.start or first
        frozen.datetime_start = _LONG_AGO + (start - first)
        frozen.datetime_complete = _LONG_AGO + (max(trial.end or start, start) - first)
    return frozen


def _constraints(trial: TrialFacts, result: StudyResult) -> dict[str, float] | None:
    """Optuna's form of the limits: above 0 is not feasible."""
    if trial.feasible is None:
        return None
    return {"limits": 0.0 if trial.feasible else 1.0}
