"""Many machines, one study: workers that die, sleep or lose their database, and every trial finished exactly once.

The machines are processes here; what they share, a PostgreSQL and a folder, is real.
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
from test_tune_studies import AP, SPACE, cause
from tiny_runs import tiny_sets

from bench.tune.plan import Plan
from bench.tune.storage import Patience
from bench.tune.study import Study
from bench.tune.training import Training
from bench.tune.tuner import tune
from metrics.errors import DetbenchError
from reports.records.study import StudyFolder

SHORT = Patience(heartbeat=1, grace=3, waits=(0.2, 0.4, 0.8, 1.6, 1.6))

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["bench.tune.tuner"])


@pytest.fixture(scope="module")
def server():
    """An own PostgreSQL, running."""
    pytest.importorskip("psycopg", reason="psycopg is absent: pip install detbench[postgresql]")
    where = programs()
    if where is None:
        pytest.skip(
            "PostgreSQL is absent: no initdb on the path or in /usr/lib/postgresql (Debian: postgresql)"
        )
    if sys.platform == "win32":
        pytest.skip("Unix sockets and SIGKILL are asked for")
    own = Server(where)
    try:
        own.start()
        yield own
    finally:
        own.remove()


@pytest.fixture
def url(server, request):
    """A database of the test's own."""
    import psycopg

    name = f"t{abs(hash(request.node.name)) % 10**9}"
    with psycopg.connect(f"user=tester dbname=postgres host={server.folder}", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.url.replace("/postgres?", f"/{name}?")


def study_at(out, url):
    """What every machine opens: the same study, in the same database and folder."""
    return Study(cause(), SPACE, AP, out, storage=url, patience=SHORT)


def work(out, url, trials, seconds, hangs_in=None):
    """A machine: trials of `seconds`; in trial number `hangs_in` it says so and hangs until it is killed."""

    def hill(trial, values, folder):
        folder.mkdir(parents=True, exist_ok=True)
        before = (folder / "half").exists()
        (folder / "half").write_text(str(trial.number))
        if trial.number == hangs_in:
            (out / "hangs").write_text(str(os.getpid()))
            time.sleep(3600)
        time.sleep(seconds)
        with (out / "log").open("a") as log:
            log.write(
                json.dumps({"trial": trial.number, "folder": folder.name, "before": before, **values}) + "\n"
            )
        return (1 - (values["nms.iou"] - 0.7) ** 2,)

    with _as_a_command(out):
        study_at(out, url).optimize(hill, trials)


@contextmanager
def _as_a_command(out):
    """A user's fault or the machine's is a line and an exit code, as in `bench.cli`; nothing else may be said."""
    with (out / f"said-{os.getpid()}").open("w") as said:
        os.dup2(said.fileno(), 2)
    try:
        yield
    except DetbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def said(out):
    """The lines that machines wrote to standard error, but for those of a first use."""
    lines = [line for file in sorted(out.glob("said-*")) for line in file.read_text().splitlines()]
    return [line for line in lines if not line.startswith("metrics: compiling kernels")]


def started(*machines):
    """One process for each tuple of arguments of `work`."""
    processes = [context.Process(target=work, args=arguments) for arguments in machines]
    for process in processes:
        process.start()
    return processes


def wait_for(happened, seconds=120):
    """Until it has happened, or the test fails."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def finish(processes, seconds=180):
    """Their exit codes, once all have ended."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def done(out):
    """The trials that an objective has returned a value for, in that order."""
    log = out / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def told(out, url):
    """All trials as the database has them, and how many of those that count are in which state."""
    study = study_at(out, url)
    try:
        return study.study.get_trials(deepcopy=False), study.states()
    finally:
        study.storage.remove_session()
        study.storage.engine.dispose()


def assert_each_is_finished_once(out, url, asked):
    """`asked` trials were begun and have a value, whoever did them; no number and no place twice."""
    trials, states = told(out, url)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert states == {"complete": asked}
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len({trial.user_attrs["folder"] for trial in complete}) == asked
    assert Counter(trial.params == SPACE.defaults for trial in complete)[True] >= 1


def test_workers_share_a_budget_to_the_last_trial(url, tmp_path):
    assert finish(started(*[(tmp_path, url, 12, 0.02)] * 3)) == [0] * 3
    assert_each_is_finished_once(tmp_path, url, 12)
    assert len(done(tmp_path)) == 12
    workers = {trial.user_attrs["worker"] for trial in told(tmp_path, url)[0]}
    assert len(workers) > 1
    # Each number is handed out once, and settings follow from it: no two machines try the same.
    assert len({line["nms.iou"] for line in done(tmp_path)}) == 12


def test_a_trial_of_a_killed_machine_is_finished_by_another_in_its_folder(url, tmp_path):
    victim, *others = started((tmp_path, url, 7, 0.05, 3), (tmp_path, url, 7, 0.05, 3))
    # Whichever of both draws trial 3 hangs in it and is killed.
    wait_for((tmp_path / "hangs").exists)
    time.sleep(0.2)
    os.kill(int((tmp_path / "hangs").read_text()), signal.SIGKILL)
    assert sorted(finish([victim, *others])) == [-9, 0]
    assert_each_is_finished_once(tmp_path, url, 7)
    killed = told(tmp_path, url)[0][3]
    assert killed.state == optuna.trial.TrialState.FAIL
    (again,) = [line for line in done(tmp_path) if line["folder"] == "00003"]
    assert again["before"]
    assert again["trial"] != 3
    assert {path: again[path] for path in killed.params} == killed.params


def test_a_machine_that_slept_too_long_finds_its_trial_taken_over_and_goes_on(url, tmp_path):
    (slow,) = started((tmp_path, url, 4, 1.0))
    wait_for(lambda: len(told(tmp_path, url)[0]) > 1)
    os.kill(slow.pid, signal.SIGSTOP)
    (quick,) = started((tmp_path, url, 4, 0.05))
    wait_for(lambda: len(told(tmp_path, url)[0]) > 4)  # one stands in for that of the machine that sleeps
    os.kill(slow.pid, signal.SIGCONT)
    assert finish([slow, quick]) == [0, 0]
    assert_each_is_finished_once(tmp_path, url, 4)


def test_a_database_that_comes_back_loses_nothing(server, url, tmp_path):
    machines = started(*[(tmp_path, url, 8, 0.15)] * 2)
    wait_for(lambda: len(done(tmp_path)) >= 3)
    server.stop()
    time.sleep(0.5)
    server.start()
    assert finish(machines) == [0, 0]
    assert_each_is_finished_once(tmp_path, url, 8)


def test_a_database_that_stays_away_ends_the_command_with_exit_code_3_and_what_was_finished_is_kept(
    server, url, tmp_path
):
    machines = started(*[(tmp_path, url, 30, 0.1)] * 2)
    wait_for(lambda: len(done(tmp_path)) >= 3)
    server.stop()
    try:
        assert finish(machines) == [3, 3]
    finally:
        server.start()
    lines = said(tmp_path)
    assert len(lines) == 2, lines
    assert all(line.startswith("error: the study's storage is gone (") for line in lines)
    assert all("the same command goes on when it is back" in line for line in lines)
    kept = [trial for trial in told(tmp_path, url)[0] if trial.state == optuna.trial.TrialState.COMPLETE]
    before = len(done(tmp_path))
    assert before - 2 <= len(kept) <= before  # a value that could not be told any more is found again
    time.sleep(SHORT.grace)
    assert finish(started((tmp_path, url, 6, 0.01))) == [0]
    assert_each_is_finished_once(tmp_path, url, 6)


def tune_whole(out, url, hangs):
    """A machine that does all of `bench tune`; one that hangs does so in its first trial, after an epoch was saved."""
    if hangs:

        def hang(training, measures):
            (out / "hangs").write_text(str(os.getpid()))
            time.sleep(3600)

        Training._reported = hang
    sets = tiny_sets("ssd", train__epochs=2, train__validate_every=1)
    plan = Plan(
        "ssd", ("train.lr",), {"sets": sets}, trials=3, out=out, storage=url, again=1, study="mine", pruning="none",
        patience=SHORT,
    )  # fmt: skip
    with _as_a_command(out):
        tune(plan)


def test_a_training_whose_machine_was_killed_goes_on_from_its_checkpoint_on_another(url, tmp_path):
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
    assert said(tmp_path) == []
    study = StudyFolder.open(folder).result
    assert study.states == {"complete": 3}
    (again,) = [trial for trial in study.trials if trial.retry_of == 0]
    assert (again.state, again.params) == ("complete", study.trials[0].params)
    assert not study.trials[0].counts
    log = (folder / "trials" / "00000" / "log.jsonl").read_text()
    assert "resumed" in log
    folders = list((folder / "trials").iterdir())
    assert len(folders) == 3
    assert not any((each / "checkpoint").exists() for each in folders)
    assert (folder / "report.html").is_file()
    assert (folder / "winner.toml").is_file()
    assert study.storage == "postgresql"
