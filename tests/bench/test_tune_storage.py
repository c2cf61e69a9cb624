"""Storage that fails: for one call, for a while, permanently."""

from __future__ import annotations

import json

import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.storages._heartbeat import HeartbeatThread
from optuna.trial import TrialState
from test_tune_study import hill, study
from tiny_runs import tiny_config

from bench.settings.resolution import open_run_data
from bench.tune.objectives import parse_objectives
from bench.tune.search_space import parse_space
from bench.tune.storage import RetryingStorage, StorageUnavailable, Timeouts
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from bench.tune.training_trials import TrainingTrials
from metrics.errors import InputError, MachineError

NOW = (0.0, 0.0, 0.0)


class Failing(InMemoryStorage):
    """Answers `after` calls of a method, then fails `times` times."""

    def __init__(self, method, after, times, error=None):
        super().__init__()
        self._method = method
        self.left, self.times, self.error = after, times, error or StorageInternalError("no connection")
        working = getattr(self, method)

        def fails(*args, **kwargs):
            self.left -= 1
            if self.left < 0 and self.times > 0:
                self.times -= 1
                raise self.error
            return working(*args, **kwargs)

        setattr(self, method, fails)


METHODS = [
    "create_new_trial",
    "get_all_trials",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_user_attr",
    "set_trial_intermediate_value",
]


def use(monkeypatch, storage):
    """Let studies open this storage."""
    monkeypatch.setattr("bench.tune.study.open_storage", lambda *more: RetryingStorage(storage, NOW))


def repair(storage):
    """Let the storage work again."""
    storage.times = 0


def reporting(trial, values, folder):
    trial.report(0.5, 1)
    return hill(trial, values, folder)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [StorageInternalError("gone"), OSError("no space left on device")])
def test_a_call_that_fails_for_a_while_is_retried_and_no_trial_is_lost(tmp_path, monkeypatch, method, error):
    use(monkeypatch, Failing(method, 4, 3, error))
    tuned = study(tmp_path)
    tuned.optimize(reporting, 6)
    assert tuned.states() == {"complete": 6}


@pytest.mark.parametrize("method", METHODS)
def test_permanently_unavailable_storage_ends_the_work_and_the_same_command_continues(
    tmp_path, monkeypatch, method
):
    storage = Failing(method, 6, 10**9)
    use(monkeypatch, storage)

    def work():
        study(tmp_path).optimize(reporting, 9)

    with pytest.raises(
        MachineError, match=r"storage does not respond \(no connection\); finished trials are saved"
    ):
        work()
    repair(storage)
    again = study(tmp_path, timeouts=Timeouts(grace=0))
    again.optimize(reporting, 9)
    assert again.states() == {"complete": 9}


def test_a_call_whose_answer_was_lost_counts_as_made():
    storage = InMemoryStorage()
    working = storage.set_trial_state_values
    calls = []

    def answer_is_lost(*args, **kwargs):
        calls.append(working(*args, **kwargs))
        if len(calls) == 1:
            raise StorageInternalError("no answer")
        return calls[-1]

    storage.set_trial_state_values = answer_is_lost
    optuna_study = optuna.create_study(storage=RetryingStorage(storage, NOW))
    trial = optuna_study.ask()
    optuna_study.tell(trial, 0.5)
    assert [t.state for t in optuna_study.trials] == [TrialState.COMPLETE]


def test_errors_of_the_caller_are_not_retried():
    storage = RetryingStorage(InMemoryStorage(), NOW)
    optuna_study = optuna.create_study(storage=storage)
    trial = optuna_study.ask()
    optuna_study.tell(trial, 0.5)
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    with pytest.raises(KeyError):
        storage.get_trial(99)


def test_a_training_continues_from_its_checkpoint_when_the_storage_is_back(tmp_path, monkeypatch):
    config = tiny_config("ssd", train__epochs=2, train__validate_every=1)
    dataset = open_run_data(config)
    objectives = parse_objectives(["ap"], dataset.splits["val"].truth)
    storage = Failing("set_trial_intermediate_value", 0, 10**9)
    use(monkeypatch, storage)

    def a_study():
        return Study(
            StudyKey("ssd", "shapes", "train", {}), parse_space(config, ["train.lr"]), objectives, tmp_path
        )

    tuned = a_study()
    with pytest.raises(StorageUnavailable):
        tuned.optimize(TrainingTrials(config, dataset, objectives), 1)
    assert (tuned.folder / "trials" / "00000" / "checkpoint").is_dir()
    repair(storage)
    again = a_study()
    again.optimize(TrainingTrials(config, dataset, objectives), 1)
    assert again.states() == {"complete": 1}
    log = (again.folder / "trials" / "00000" / "log.jsonl").read_text()
    assert any(json.loads(line)["event"] == "resumed" for line in log.splitlines())


def test_a_study_of_another_program_is_refused(tmp_path, monkeypatch):
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="mine", direction="maximize").optimize(
        lambda trial: trial.suggest_float("x", 0, 1), n_trials=1
    )
    use(monkeypatch, storage)
    with pytest.raises(InputError, match="study 'mine': was not created by this version of bench tune"):
        study(tmp_path, name="mine")


def test_a_study_with_other_directions_is_refused(tmp_path, monkeypatch):
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="mine", direction="minimize")
    use(monkeypatch, storage)
    with pytest.raises(InputError, match=r"its objectives are to minimize, but these are to maximize"):
        study(tmp_path, name="mine")


def test_a_trial_has_a_heartbeat_before_it_has_a_worker(tmp_path, monkeypatch):
    # A worker that is killed in between leaves a trial that is retried: without a worker, or with an old heartbeat.
    calls = []
    monkeypatch.setattr(HeartbeatThread, "start", lambda thread: None)
    monkeypatch.setattr(HeartbeatThread, "join", lambda thread: None)
    set_trial_user_attr = RetryingStorage.set_trial_user_attr

    def record_heartbeat(storage, trial_id):
        calls.append((trial_id, "heartbeat"))

    def record_attribute(storage, trial_id, key, value):
        calls.append((trial_id, key))
        set_trial_user_attr(storage, trial_id, key, value)

    monkeypatch.setattr(RetryingStorage, "record_heartbeat", record_heartbeat)
    monkeypatch.setattr(RetryingStorage, "set_trial_user_attr", record_attribute)
    tuned = study(tmp_path, storage=f"sqlite:///{tmp_path / 'study.db'}")
    tuned.optimize(hill, 2)
    for trial in tuned.study.trials:
        own = [what for trial_id, what in calls if trial_id == trial._trial_id]
        assert own.index("heartbeat") < own.index("worker")
    tuned.storage.close()
