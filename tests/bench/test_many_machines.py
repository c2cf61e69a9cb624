"""Many machines, one study: workers die, hang or lose the database, and every trial is finished exactly once.

The machines are processes here; the PostgreSQL server and the folder that they share are real.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager

import optuna
import pytest
from postgres_server import Server, programs
from test_tune_study import AP, SPACE, key
from tiny_runs import tiny_sets

from bench.tune.plan import TuningPlan
from bench.tune.storage import Timeouts
from bench.tune.study import Study
from bench.tune.training_trials import TrainingTrials
from bench.tune.tuner import tune
from metrics.errors import DetbenchError
from reports.records.study import StudyFolder

WAITS = (0.2, 0.4, 0.8, 1.6, 1.6)
TAKEN_OVER = Timeouts(heartbeat=1, grace=5, waits=WAITS)
"""Of tests in which the trials of a machine are taken over: they wait for the grace period once."""
ALIVE = Timeouts(heartbeat=1, grace=600, waits=(0.2,) * 1500)
"""Of tests in which all machines live: a busy processor or a slow server must not look like a death."""
LIMIT = 600
"""Seconds after which a test fails, however busy the machine is."""

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["bench.tune.tuner"])


@pytest.fixture(scope="module")
def server():
    """A running PostgreSQL server of these tests."""
    pytest.importorskip("psycopg", reason="psycopg is absent: pip install detbench[postgresql]")
    where = programs()
    if where is None:
        pytest.skip(
            "PostgreSQL is absent: no initdb on the path or in /usr/lib/postgresql (Debian: postgresql)"
        )
    if sys.platform == "win32":
        pytest.skip("needs Unix sockets and SIGKILL")
    own = Server(where)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
def url(server, request):
    """A new database for one test."""
    import psycopg

    name = f"t{abs(hash(request.node.name)) % 10**9}"
    with psycopg.connect(f"user=tester dbname=postgres host={server.folder}", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.url.replace("/postgres?", f"/{name}?")


def study_at(out, url, timeouts=TAKEN_OVER):
    """The same study, database and folder for every machine."""
    return Study(key(), SPACE, AP, out, storage=url, timeouts=timeouts)


def work(out, url, trials, timeouts, held=(), meets=1):
    """A machine that runs trials.

    Those with numbers in `held` report ``held-<number>`` and continue once the file ``go`` exists. The first trial continues once
    `meets` machines have started one.
    """

    def hill(trial, values, folder):
        folder.mkdir(parents=True, exist_ok=True)
        before = (folder / "half").exists()
        (folder / "half").write_text(str(trial.number))
        (out / f"started-{os.getpid()}").touch()
        wait_for(lambda: len(list(out.glob("started-*"))) >= meets)
        if trial.number in held:
            (out / "pid").write_text(str(os.getpid()))
            (out / f"held-{trial.number}").touch()
            wait_for((out / "go").exists)
        with (out / "log").open("a") as log:
            log.write(
                json.dumps({"trial": trial.number, "folder": folder.name, "before": before, **values}) + "\n"
            )
        return (1 - (values["nms.iou"] - 0.7) ** 2,)

    with _as_a_command(out):
        study_at(out, url, timeouts).optimize(hill, trials)


@contextmanager
def _as_a_command(out):
    """Turn errors into a line and an exit code, as `bench.cli` does; standard error goes to a file."""
    with (out / f"stderr-{os.getpid()}").open("w") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    except DetbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def error_lines(out):
    """The lines that machines wrote to standard error, without those about compiling kernels."""
    lines = [line for file in sorted(out.glob("stderr-*")) for line in file.read_text().splitlines()]
    return [line for line in lines if not line.startswith("metrics: compiling kernels")]


def started(*machines):
    """One process for each tuple of arguments of `work`."""
    processes = [context.Process(target=work, args=arguments) for arguments in machines]
    for process in processes:
        process.start()
    return processes


def wait_for(happened):
    """Wait until `happened()`, or fail."""
    end = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def finish(processes):
    """Exit codes, once all processes have ended."""
    for process in processes:
        process.join(LIMIT)
    return [process.exitcode for process in processes]


def done(out):
    """Trials for which the objective returned a value, in that order."""
    log = out / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def stored(out, url):
    """All trials in the database, and the number of counted trials by state."""
    study = study_at(out, url)
    try:
        return study.study.get_trials(deepcopy=False), study.states()
    finally:
        study.storage.close()


def assert_each_is_finished_once(out, url, requested):
    """`requested` trials have a value; no number and no folder occurs twice."""
    trials, states = stored(out, url)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert states == {"complete": requested}
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len({trial.user_attrs["folder"] for trial in complete}) == requested
    assert Counter(trial.params == SPACE.defaults for trial in complete)[True] >= 1


def test_workers_share_the_trials_to_the_last_one(url, tmp_path):
    assert finish(started(*[(tmp_path, url, 12, ALIVE, (), 3)] * 3)) == [0] * 3
    assert_each_is_finished_once(tmp_path, url, 12)
    assert len(done(tmp_path)) == 12
    assert len({trial.user_attrs["worker"] for trial in stored(tmp_path, url)[0]}) == 3
    # Each number is assigned once and determines the settings: no two machines try the same.
    assert len({line["nms.iou"] for line in done(tmp_path)}) == 12


def test_a_trial_of_a_killed_machine_is_finished_by_another_one_in_its_folder(url, tmp_path):
    machines = started(*[(tmp_path, url, 7, TAKEN_OVER, (3,))] * 2)
    # The one that gets trial 3 is killed in it.
    wait_for((tmp_path / "held-3").exists)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert sorted(finish(machines)) == [-9, 0]
    assert_each_is_finished_once(tmp_path, url, 7)
    killed = stored(tmp_path, url)[0][3]
    assert killed.state == optuna.trial.TrialState.FAIL
    (again,) = [line for line in done(tmp_path) if line["folder"] == "00003"]
    assert again["before"]
    assert again["trial"] != 3
    assert {path: again[path] for path in killed.params} == killed.params


def test_a_machine_that_was_suspended_too_long_loses_its_trial_and_continues(url, tmp_path):
    (slow,) = started((tmp_path, url, 6, TAKEN_OVER, (1,)))
    wait_for((tmp_path / "held-1").exists)
    os.kill(slow.pid, signal.SIGSTOP)
    try:
        assert finish(started((tmp_path, url, 4, TAKEN_OVER))) == [0]  # takes over trial 1
        assert_each_is_finished_once(tmp_path, url, 4)
        (tmp_path / "go").touch()
    finally:
        os.kill(slow.pid, signal.SIGCONT)
    assert finish([slow]) == [0]
    assert_each_is_finished_once(tmp_path, url, 6)
    lost = stored(tmp_path, url)[0][1]
    assert lost.state == optuna.trial.TrialState.FAIL
    # Both finished it; the value of the suspended machine is dropped, and that machine runs the two remaining trials.
    assert len([line for line in done(tmp_path) if line["folder"] == "00001"]) == 2
    assert len(done(tmp_path)) == 7


def test_a_database_that_comes_back_loses_no_trial(server, url, tmp_path):
    machines = started(*[(tmp_path, url, 8, ALIVE, (3, 4), 2)] * 2)
    wait_for(lambda: all((tmp_path / f"held-{number}").exists() for number in (3, 4)))
    server.stop()
    try:
        (tmp_path / "go").touch()
        # Both machines have a value that they cannot store.
        wait_for(lambda: {3, 4} <= {line["trial"] for line in done(tmp_path)})
    finally:
        server.start()
    assert finish(machines) == [0, 0]
    assert_each_is_finished_once(tmp_path, url, 8)
    assert len(done(tmp_path)) == 8


def test_an_unavailable_database_ends_the_command_with_exit_code_3_and_finished_trials_are_kept(
    server, url, tmp_path
):
    machines = started(*[(tmp_path, url, 30, TAKEN_OVER, (3, 4), 2)] * 2)
    wait_for(lambda: all((tmp_path / f"held-{number}").exists() for number in (3, 4)))
    server.stop()
    try:
        (tmp_path / "go").touch()
        assert finish(machines) == [3, 3]
    finally:
        server.start()
    lines = error_lines(tmp_path)
    assert len(lines) == 2, lines
    assert all(line.startswith("error: the study's storage does not respond (") for line in lines)
    assert all("run the same command again when it is back" in line for line in lines)
    kept = [trial for trial in stored(tmp_path, url)[0] if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len(kept) == len(done(tmp_path)) - 2  # trials whose value could not be stored are run again
    assert finish(started((tmp_path, url, 6, TAKEN_OVER))) == [0]
    assert_each_is_finished_once(tmp_path, url, 6)


def tune_whole(out, url, hangs):
    """A machine that runs all of `bench tune`; with `hangs`, it hangs in its first trial, after the first checkpoint."""
    if hangs:

        def hang(training, measures):
            (out / "hangs").write_text(str(os.getpid()))
            time.sleep(3600)

        TrainingTrials._intermediate_value = hang
    sets = tiny_sets("ssd", train__epochs=2, train__validate_every=1)
    plan = TuningPlan(
        "ssd", ("train.lr",), {"sets": sets}, trials=3, out=out, storage=url, fresh_seeds=1, study="mine", pruner="none",
        timeouts=Timeouts(heartbeat=1, grace=15, waits=WAITS),
    )  # fmt: skip
    with _as_a_command(out):
        tune(plan)


def test_a_training_whose_machine_was_killed_continues_from_its_checkpoint_on_another_one(url, tmp_path):
    victim = context.Process(target=tune_whole, args=(tmp_path, url, True))
    victim.start()
    wait_for((tmp_path / "hangs").exists)
    folder = tmp_path / "mine-train"
    assert (folder / "trials" / "00000" / "checkpoint").is_dir()
    os.kill(victim.pid, signal.SIGKILL)
    others = [context.Process(target=tune_whole, args=(tmp_path, url, False)) for _ in range(2)]
    for process in others:
        process.start()
    assert finish([victim, *others]) == [-9, 0, 0]
    assert error_lines(tmp_path) == []
    study = StudyFolder.open(folder).result
    assert study.states == {"complete": 3}
    (again,) = [trial for trial in study.trials if trial.retry_of == 0]
    assert (again.state, again.params) == ("complete", study.trials[0].params)
    assert study.trials[0].superseded
    log = (folder / "trials" / "00000" / "log.jsonl").read_text()
    assert "resumed" in log
    folders = list((folder / "trials").iterdir())
    assert len(folders) == 3
    assert not any((each / "checkpoint").exists() for each in folders)
    assert (folder / "report.html").is_file()
    assert (folder / "winner.toml").is_file()
    assert study.storage == "postgresql"
    assert [(look.trials, look.fresh_seeds) for look in study.test_looks] == [(3, 1)]  # of both machines
