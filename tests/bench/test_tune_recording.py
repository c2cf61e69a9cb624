"""What Optuna knows of a study is what the record says of it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from test_tune_studies import AP, SPACE, cause, hill, study

from bench.process.interrupts import Stopped
from bench.tune.outcome import Entry, Outcome
from bench.tune.record import LIMITED, ending_of, record, trials_of
from bench.tune.study import Study
from reports.records.study import Limit

DATA = SimpleNamespace(name="shapes", fingerprint="abc", splits={"val": [1, 2, 3]})


def known_by_a_study(*trials):
    """The same trials, with numbers."""
    of = optuna.create_study()
    of.add_trials(trials)
    return of.trials


def test_a_study_is_told_whole(tmp_path):
    def fragile(trial, values, folder):
        if trial.number == 2:
            raise MemoryError("no room")
        trial.report(0.25, 12)
        return hill(trial, values, folder)

    tuned = study(tmp_path)
    tuned.optimize(fragile, 9)
    url = "postgresql+psycopg://me:se@c/ret@host/db"
    facts = record(
        tuned, "ssd", "nms", DATA, asked=9, storage=url, command=f"bench tune --storage '{url}' --trials 9"
    )
    assert facts.states == tuned.states() == {"complete": 8, "fail": 1}
    assert facts.complete[0].number == tuned.best()[0].number
    assert facts.default.number == 0
    assert facts.importances == tuned.importances()
    assert facts.trials[2].reason == "MemoryError: no room"
    assert facts.trials[1].steps == {12: 0.25}
    assert facts.trials[1].seconds >= 0
    assert facts.images == 3
    assert [(each.path, each.low, each.options) for each in facts.space] == [
        ("nms.iou", 0.1, ()),
        ("nms.agnostic", None, (False, True)),
    ]
    assert facts.storage == "postgresql"
    assert facts.command == "bench tune --storage 'postgresql+psycopg://me:…@host/db' --trials 9"
    assert "ret@" not in facts.to_json()


def test_a_trial_that_was_stopped_and_gone_on_with_counts_once(tmp_path):
    def stopped(trial, values, folder):
        raise Stopped(2)

    tuned = study(tmp_path)
    with pytest.raises(Stopped):
        tuned.optimize(stopped, 2)
    tuned.optimize(hill, 2)
    facts = record(tuned, "ssd", "nms", DATA)
    assert facts.states == tuned.states() == {"complete": 2}
    assert [trial.counts for trial in facts.trials] == [False, True, True]
    assert facts.trials[1].retry_of == 0


def test_an_infinite_value_is_no_value():
    endless = create_trial(state=TrialState.COMPLETE, values=[math.inf])
    (facts,) = trials_of(known_by_a_study(endless), SPACE)
    assert (facts.state, facts.values, facts.reason) == ("fail", (), "not a finite value: inf")


def test_what_a_limit_measured_is_told_by_the_trial_or_follows_from_the_constraint():
    said = create_trial(
        state=TrialState.FAIL, user_attrs={LIMITED: {"latency_ms": 31.0}}, constraints={"latency_ms": 1.0}
    )
    fast = create_trial(state=TrialState.FAIL, constraints={"latency_ms": -12.0, "recall": 0.25})
    limits = (Limit(name="latency_ms", bound=30), Limit(name="recall", bound=0.5, at_most=False))
    slow, quick = trials_of(known_by_a_study(said, fast), SPACE, limits)
    assert (slow.limited, slow.feasible) == ({"latency_ms": 31.0}, False)
    assert (quick.limited, quick.feasible) == ({"latency_ms": 18.0, "recall": 0.25}, False)


def test_an_ending_is_the_outcome_with_its_intervals(tmp_path):
    entries = (Entry("default", {}, 0.4, (), (0.3,)), Entry("trial 1", {"nms.iou": 0.6}, 0.5, (), (0.35,)))
    outcome = Outcome("ap", True, entries, "trial 1", tmp_path, {}, {})
    ending = ending_of(outcome, "ap", {"default": (0.2, 0.4)}, (-0.01, 0.11))
    assert ending.gain == pytest.approx(0.05)
    assert ending.default.test_interval == (0.2, 0.4)
    assert ending.winner.values == {"nms.iou": 0.6}


def test_a_study_that_another_program_holds_open_is_told_as_it_is(tmp_path):
    tuned = Study(cause(), SPACE, AP, tmp_path)
    tuned.study.ask()
    facts = record(tuned, "ssd", "nms", DATA)
    assert facts.states == {"running": 1}
    assert isinstance(tuned.study, optuna.Study)
