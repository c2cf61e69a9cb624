"""The record of a study has what Optuna stores."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from test_tune_study import AP, SPACE, hill, key, study

from bench.process.interrupts import Stopped
from bench.tune.retries import queue_retry
from bench.tune.study import Study
from bench.tune.study_record import study_result, trial_records
from bench.tune.trial_attributes import MEASURED

FACTS = {"variant": "ssd", "stage": "nms", "data": "shapes", "images": 3}


def numbered(*trials):
    """The same trials in a study, with numbers."""
    of = optuna.create_study()
    of.add_trials(trials)
    return of.trials


def test_a_study_is_recorded_completely(tmp_path):
    def fragile(trial, values, folder):
        if trial.number == 2:
            raise MemoryError("no room")
        trial.report(0.25, 12)
        return hill(trial, values, folder)

    tuned = study(tmp_path)
    tuned.optimize(fragile, 9)
    url = "postgresql+psycopg://me:se@c/ret@host/db"
    facts = study_result(tuned, url, f"bench tune --storage '{url}' --trials 9", requested=9, **FACTS)
    assert facts.states == tuned.states() == {"complete": 8, "fail": 1}
    assert facts.complete[0].number == tuned.best()[0].number
    assert facts.default.number == 0
    assert facts.importances == tuned.importances()
    assert facts.trials[2].reason == "MemoryError: no room"
    assert facts.trials[1].intermediate_values == {12: 0.25}
    assert facts.trials[1].seconds >= 0
    assert facts.images == 3
    assert [(each.path, each.low, each.options) for each in facts.space] == [
        ("nms.iou", 0.1, ()),
        ("nms.agnostic", None, (False, True)),
    ]
    assert facts.storage == "postgresql"
    assert facts.command == "bench tune --storage 'postgresql+psycopg://me:…@host/db' --trials 9"
    assert "ret@" not in facts.to_json()


def test_a_trial_that_was_stopped_and_continued_counts_once(tmp_path):
    def stopped(trial, values, folder):
        raise Stopped(2)

    tuned = study(tmp_path)
    with pytest.raises(Stopped):
        tuned.optimize(stopped, 2)
    tuned.optimize(hill, 2)
    facts = study_result(tuned, **FACTS)
    assert facts.states == tuned.states() == {"complete": 2}
    assert [trial.superseded for trial in facts.trials] == [True, False, False]
    assert [trial.counts for trial in facts.trials] == [False, True, True]
    assert facts.trials[1].retry_of == 0


def test_a_trial_with_an_infinite_value_is_recorded_as_failed():
    endless = create_trial(state=TrialState.COMPLETE, values=[math.inf])
    (facts,) = trial_records(numbered(endless), SPACE)
    assert (facts.state, facts.values, facts.reason) == ("fail", (), "not a finite value: inf")


def test_measurements_and_constraints_of_limits_are_recorded():
    slow = create_trial(
        state=TrialState.PRUNED, user_attrs={MEASURED: {"latency_ms": 31.0}}, constraints={"latency_ms": 0.03}
    )
    fast = create_trial(
        value=0.5, user_attrs={MEASURED: {"latency_ms": 18.0}}, constraints={"latency_ms": -0.4}
    )
    unlimited = create_trial(value=0.5)
    records = trial_records(numbered(slow, fast, unlimited), SPACE)
    assert [record.measured for record in records] == [{"latency_ms": 31.0}, {"latency_ms": 18.0}, {}]
    assert [record.feasible for record in records] == [False, True, None]


def test_a_trial_that_optuna_failed_for_a_missing_heartbeat_is_superseded_by_its_retry(tmp_path):
    tuned = study(tmp_path)
    lost = tuned.study.ask()
    tuned.study.tell(lost, state=TrialState.FAIL)  # as `fail_stale_trials` does, which then calls this:
    queue_retry(tuned.study, tuned.study.trials[lost.number])
    tuned.optimize(hill, 2)
    records = study_result(tuned, **FACTS).trials
    assert [record.superseded for record in records] == [True, False, False]
    assert [record.retry_of for record in records] == [None, 0, None]


def test_running_trials_are_recorded(tmp_path):
    tuned = Study(key(), SPACE, AP, tmp_path)
    tuned.study.ask()
    facts = study_result(tuned, **FACTS)
    assert facts.states == {"running": 1}
    assert isinstance(tuned.study, optuna.Study)
