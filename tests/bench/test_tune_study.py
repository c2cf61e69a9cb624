"""Studies: every requested trial is finished once, even if trials fail and workers stop or die."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal

import optuna
import pytest
from optuna.trial import TrialState

from bench.process.interrupts import Stopped, StopRequest
from bench.tune.objectives import Objective, Objectives
from bench.tune.retries import Orphans, WorkerLock, requeue_abandoned
from bench.tune.search_space import Space
from bench.tune.storage import Timeouts
from bench.tune.study import Study, _TrialFailed
from bench.tune.study_key import StudyKey
from metrics.errors import InputError, MachineError, PartialError
from metrics.match_rule import MatchRule
from reports.records.trial import Dimension

IOU = Dimension(path="nms.iou", stage="nms", default=0.5, low=0.1, high=0.9)
SPACE = Space((IOU, Dimension(path="nms.agnostic", stage="nms", default=False, options=(False, True))))
AP = Objectives((Objective("ap", (("ap", 1.0),), True),), ("average_precision",), MatchRule())
BOTH = Objectives((*AP.each, Objective("olrp", (("olrp", 1.0),), False)), ("average_precision",), MatchRule())


def key(**facts):
    return StudyKey("ssd", "shapes", "nms", {"data": "abc", "space": SPACE.tree(), **facts})


def study(out, objectives=AP, seed=0, space=SPACE, **more):
    return Study(key(), space, objectives, out, seed=seed, **more)


def hill(trial, values, folder):
    """Best at 0.7."""
    return (1 - (values["nms.iou"] - 0.7) ** 2,)


def test_trial_0_has_the_defaults_and_tuning_improves_on_it(tmp_path):
    tuned = study(tmp_path)
    tuned.optimize(hill, 15)
    trials = tuned.study.trials
    assert len(trials) == 15
    assert trials[0].params == {"nms.iou": 0.5, "nms.agnostic": False}
    assert tuned.default().number == 0
    assert tuned.best()[0].values[0] > tuned.default().values[0]
    assert sum(tuned.importances().values()) == pytest.approx(1)
    assert tuned.importances()["nms.iou"] > 0.5


def test_the_same_seed_is_the_same_study_and_another_is_not(tmp_path):
    def params(out, seed):
        tuned = study(out, seed=seed)
        tuned.optimize(hill, 12)
        return [trial.params for trial in tuned.study.trials]

    first = params(tmp_path / "a", 0)
    assert params(tmp_path / "b", 0) == first
    assert params(tmp_path / "c", 1) != first


def test_a_study_is_continued_and_extended(tmp_path):
    study(tmp_path).optimize(hill, 3)
    again = study(tmp_path)
    again.optimize(hill, 3)
    assert len(again.study.trials) == 3
    again.optimize(hill, 5)
    assert len(study(tmp_path).study.trials) == 5


def test_fault_49_failed_and_nan_trials_have_a_reason_and_the_study_continues(tmp_path):
    def fragile(trial, values, folder):
        if trial.number == 1:
            raise MemoryError("no room")
        return AP.values({"ap": math.nan if trial.number == 2 else 0.5})

    tuned = study(tmp_path)
    tuned.optimize(fragile, 5)
    assert tuned.states() == {"complete": 3, "fail": 2}
    assert tuned.study.trials[1].user_attrs["reason"] == "MemoryError: no room"
    assert "undefined (NaN)" in tuned.study.trials[2].user_attrs["reason"]
    assert tuned.importances() == {}  # all values are equal


def test_fault_49_a_study_without_a_value_states_the_last_reason(tmp_path):
    def broken(trial, values, folder):
        raise InputError("positive: must be above negative")

    tuned = study(tmp_path)
    tuned.optimize(broken, 2)
    with pytest.raises(
        PartialError, match=r"no trial has a value; the last reason: InputError: positive: must be"
    ):
        tuned.best()


def test_fault_49_a_study_in_which_all_trials_were_pruned_is_an_error(tmp_path):
    def hopeless(trial, values, folder):
        raise optuna.TrialPruned

    tuned = study(tmp_path)
    tuned.optimize(hopeless, 3)
    assert tuned.states() == {"pruned": 3}
    assert tuned.default() is None
    assert tuned.importances() == {}
    with pytest.raises(PartialError, match="no trial has a value; the last reason: all trials were pruned"):
        tuned.best()


def test_fault_49_a_single_trial_is_the_default_and_the_best(tmp_path):
    tuned = study(tmp_path)
    tuned.optimize(hill, 1)
    assert tuned.best(3) == [tuned.default()]
    assert tuned.importances() == {}


def test_fault_49_none_may_be_an_option(tmp_path):
    space = Space((Dimension(path="weights", default=None, options=(None, "coco")), *SPACE))
    tuned = study(tmp_path, space=space)
    tuned.optimize(lambda trial, values, folder: (0.5 + (values["weights"] is None) * values["nms.iou"],), 12)
    assert tuned.study.trials[0].params["weights"] is None
    assert tuned.best()[0].params["weights"] is None
    assert sum(tuned.importances().values()) == pytest.approx(1)


def test_a_study_that_was_stopped_continues_with_the_same_draws(tmp_path):
    whole, stopped = study(tmp_path / "a"), study(tmp_path / "b")
    whole.optimize(hill, 6)
    stopped.optimize(hill, 2)
    study(tmp_path / "b").optimize(hill, 6)
    drawn = [[trial.params for trial in tuned.study.trials] for tuned in (whole, stopped)]
    assert drawn[0] == drawn[1]
    assert len({tuple(params.items()) for params in drawn[0]}) == 6


def test_two_machines_with_the_same_seed_draw_differently(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    machines = [study(tmp_path / name, storage=url) for name in ("a", "b")]
    machines[0].optimize(hill, 1)
    for requested in (2, 3, 4, 5):
        machines[requested % 2].optimize(hill, requested)
    trials = machines[0].study.trials
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    assert len({trial.params["nms.iou"] for trial in trials}) == 5


def test_a_study_with_another_key_is_refused_and_the_difference_named(tmp_path):
    study(tmp_path, name="mine")
    other = StudyKey("ssd", "shapes", "nms", {"data": "xyz", "space": SPACE.tree()})
    with pytest.raises(InputError, match=r"study 'mine': was created with another data: abc there, xyz here"):
        Study(other, SPACE, AP, tmp_path, name="mine")
    narrow = Space((Dimension(path="nms.iou", default=0.5, low=0.4, high=0.6),))
    with pytest.raises(InputError, match=r"another space, nms\.agnostic"):
        Study(
            StudyKey("ssd", "shapes", "nms", {"data": "abc", "space": narrow.tree()}),
            narrow,
            AP,
            tmp_path,
            name="mine",
        )


def test_a_stop_request_lets_the_trial_finish_and_the_next_call_continues(tmp_path):
    stop = StopRequest()

    def requests_stop(trial, values, folder):
        if trial.number == 2:
            stop.signum = 2
        return (0.5,)

    tuned = study(tmp_path)
    with pytest.raises(Stopped):
        tuned.optimize(requests_stop, 10, stop=stop)
    assert tuned.states() == {"complete": 3}
    study(tmp_path).optimize(hill, 4)
    assert study(tmp_path).states() == {"complete": 4}


def test_a_stopped_trial_is_continued_in_its_folder_with_its_settings(tmp_path):
    folders = []

    def stopped(trial, values, folder):
        folders.append((folder, values))
        raise Stopped(2)

    with pytest.raises(Stopped):
        study(tmp_path).optimize(stopped, 2)

    def continues(trial, values, folder):
        folders.append((folder, values))
        return (0.5,)

    again = study(tmp_path)
    again.optimize(continues, 2)
    assert folders[0] == folders[1] != folders[2]
    assert again.states() == {"complete": 2}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child has one thread, and kills itself
def test_fault_48_a_trial_of_a_killed_worker_is_finished_by_another_one_exactly_once(tmp_path):
    def dies(trial, values, folder):
        folder.mkdir(parents=True)
        (folder / "half").write_text("")
        os.kill(os.getpid(), signal.SIGKILL)

    # Forked: a fresh process would spend its time on imports.
    worker = multiprocessing.get_context("fork").Process(target=lambda: study(tmp_path).optimize(dies, 3))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    seen = []

    def continues(trial, values, folder):
        seen.append((folder / "half").exists())
        return (0.5,)

    tuned = study(tmp_path)
    assert tuned.study.trials[0].state == TrialState.RUNNING
    tuned.optimize(continues, 3)
    assert sorted(seen) == [False, False, True]
    assert tuned.states() == {"complete": 3}
    assert tuned.study.trials[0].user_attrs["superseded"]
    assert "its worker died" in tuned.study.trials[0].user_attrs["reason"]


def test_a_living_worker_keeps_its_trial(tmp_path):
    mine, theirs = study(tmp_path), study(tmp_path)
    with theirs.lock.hold():
        trial = theirs.study.ask()
        trial.set_user_attr("worker", theirs.lock.name)
        assert requeue_abandoned(mine.study, mine.storage, False, mine.lock, Orphans(0)) == []
    assert requeue_abandoned(mine.study, mine.storage, False, mine.lock, Orphans(0)) == [trial.number]


def test_of_two_workers_that_start_the_last_trial_one_is_surplus(tmp_path):
    mine, theirs = study(tmp_path), study(tmp_path)
    with theirs.lock.hold():
        theirs.study.ask()  # the default
        late = mine.study.ask()
        with pytest.raises(_TrialFailed, match="surplus"):
            mine._evaluate(hill, late, 1)
    mine.study.tell(late, state=TrialState.FAIL)
    assert mine.states() == {"running": 1}


def test_several_objectives_give_a_front_and_nothing_is_pruned(tmp_path):
    def trade(trial, values, folder):
        return values["nms.iou"], values["nms.iou"] ** 2  # the second one is minimized

    tuned = study(tmp_path, BOTH, pruner=optuna.pruners.HyperbandPruner())
    tuned.optimize(trade, 6)
    assert isinstance(tuned.study.pruner, optuna.pruners.NopPruner)
    assert len(tuned.best(10)) == 6
    assert tuned.best()[0].values[0] == max(trial.values[0] for trial in tuned.study.trials)


def test_a_database_works_like_a_journal_file(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    tuned = study(tmp_path / "a", storage=url)
    tuned.optimize(hill, 3)
    assert study(tmp_path / "b", storage=url).states() == {"complete": 3}  # another machine, another folder


@pytest.mark.parametrize(
    ("url", "kind", "text"),
    [
        ("nonsense", InputError, "--storage: cannot be used"),
        ("nosuch://host/db", InputError, "--storage: cannot be used"),
        ("sqlite:////no/such/folder/study.db", MachineError, "--storage: the database does not respond"),
    ],
)
def test_unavailable_storage_is_one_line(tmp_path, url, kind, text):
    with pytest.raises(kind, match=text) as error:
        study(tmp_path, storage=url, timeouts=Timeouts(waits=()))
    assert "\n" not in str(error.value)


def test_a_worker_lock_ends_with_its_block(tmp_path):
    one, other = WorkerLock(tmp_path), WorkerLock(tmp_path)
    with one.hold():
        assert other.is_held(one.name)
    assert not other.is_held(one.name)
