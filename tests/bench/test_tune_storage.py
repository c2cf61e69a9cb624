"""Storage that fails: at a call, for a while, for good."""

from __future__ import annotations

import json

import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from test_tune_studies import hill, study
from tiny_runs import tiny_config

from bench.settings.resolution import open_run_data
from bench.tune.objectives import parse_objectives
from bench.tune.spaces import space_of
from bench.tune.storage import Patience, StorageGone, patient
from bench.tune.study import Cause, Study
from bench.tune.training import Training
from metrics.errors import InputError, MachineError

NOW = (0.0, 0.0, 0.0)


class Failing(InMemoryStorage):
    """Answers so many calls of a method, then fails so many times."""

    def __init__(self, method, after, times, error=None):
        super().__init__()
        self._method = method
        self.left, self.times, self.error = after, times, error or StorageInternalError("no connection")
        honest = getattr(self, method)

        def fails(*args, **kwargs):
            self.left -= 1
            if self.left < 0 and self.times > 0:
                self.times -= 1
                raise self.error
            return honest(*args, **kwargs)

        setattr(self, method, fails)


METHODS = [
    "create_new_trial",
    "get_all_trials",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_user_attr",
    "set_trial_intermediate_value",
]


def kept(monkeypatch, storage):
    """Whatever opens storage gets this one."""
    monkeypatch.setattr("bench.tune.study.open_storage", lambda *more: patient(storage, NOW))


def back(monkeypatch, storage):
    """The same storage answers again, to another process."""
    for name in [name for name, value in vars(storage).items() if callable(value)]:
        delattr(storage, name)
    kept(monkeypatch, storage)


def reporting(trial, values, folder):
    trial.report(0.5, 1)
    return hill(trial, values, folder)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [StorageInternalError("gone"), OSError("no space left on device")])
def test_a_call_that_fails_for_a_while_is_made_again_and_nothing_is_lost(
    tmp_path, monkeypatch, method, error
):
    kept(monkeypatch, Failing(method, 4, 3, error))
    tuned = study(tmp_path)
    tuned.optimize(reporting, 6)
    assert tuned.states() == {"complete": 6}


@pytest.mark.parametrize("method", METHODS)
def test_storage_that_is_gone_for_good_ends_the_work_and_the_same_command_goes_on(
    tmp_path, monkeypatch, method
):
    storage = Failing(method, 6, 10**9)
    kept(monkeypatch, storage)

    def work():
        study(tmp_path).optimize(reporting, 9)

    with pytest.raises(MachineError, match=r"storage is gone \(no connection\); what was finished is saved"):
        work()
    back(monkeypatch, storage)
    again = study(tmp_path, patience=Patience(grace=0))
    again.optimize(reporting, 9)
    assert again.states() == {"complete": 9}


def test_an_answer_that_was_lost_counts_as_given():
    storage = InMemoryStorage()
    honest = storage.set_trial_state_values
    calls = []

    def told_but_not_heard(*args, **kwargs):
        calls.append(honest(*args, **kwargs))
        if len(calls) == 1:
            raise StorageInternalError("no answer")
        return calls[-1]

    storage.set_trial_state_values = told_but_not_heard
    optuna_study = optuna.create_study(storage=patient(storage, NOW))
    trial = optuna_study.ask()
    optuna_study.tell(trial, 0.5)
    assert [t.state for t in optuna_study.trials] == [TrialState.COMPLETE]


def test_a_mistake_is_no_failure_of_the_storage():
    storage = patient(InMemoryStorage(), NOW)
    optuna_study = optuna.create_study(storage=storage)
    trial = optuna_study.ask()
    optuna_study.tell(trial, 0.5)
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    with pytest.raises(KeyError):
        storage.get_trial(99)


def test_a_training_goes_on_from_its_checkpoint_when_the_storage_is_back(tmp_path, monkeypatch):
    config = tiny_config("ssd", train__epochs=2, train__validate_every=1)
    dataset = open_run_data(config)
    objectives = parse_objectives(["ap"], dataset.splits["val"].truth)
    storage = Failing("set_trial_intermediate_value", 0, 10**9)
    kept(monkeypatch, storage)

    def a_study():
        return Study(
            Cause("ssd", "shapes", "train", {}), space_of(config, ["train.lr"]), objectives, tmp_path
        )

    tuned = a_study()
    with pytest.raises(StorageGone):
        tuned.optimize(Training(config, dataset, objectives), 1)
    assert (tuned.folder / "trials" / "00000" / "checkpoint").is_dir()
    back(monkeypatch, storage)
    again = a_study()
    again.optimize(Training(config, dataset, objectives), 1)
    assert again.states() == {"complete": 1}
    log = (again.folder / "trials" / "00000" / "log.jsonl").read_text()
    assert any(json.loads(line)["event"] == "resumed" for line in log.splitlines())


def test_a_study_of_somebody_else_is_not_taken_over(tmp_path, monkeypatch):
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="mine", direction="maximize").optimize(
        lambda trial: trial.suggest_float("x", 0, 1), n_trials=1
    )
    kept(monkeypatch, storage)
    with pytest.raises(InputError, match="study 'mine': has trials, and was not made by bench tune"):
        study(tmp_path, name="mine")


def test_a_study_that_sought_the_other_direction_is_refused(tmp_path, monkeypatch):
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="mine", direction="minimize")
    kept(monkeypatch, storage)
    with pytest.raises(InputError, match=r"was made to minimize, and this one has to maximize"):
        study(tmp_path, name="mine")
