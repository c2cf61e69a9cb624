"""Two processes create one run folder and predict every image once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from agreement import assert_same_tables
from tiny_runs import tiny_config, tiny_sets

from bench.runs.context import RunContext
from bench.runs.run import run
from reports.records.run import RunFolder


def command(out: Path, *sets: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*launcher, "-m", "bench", "run", "--variant", "ssd", "--quiet", "--out", str(out), "--set", *sets]


def run_in_two_processes(out: Path, *sets: str) -> RunFolder:
    done = subprocess.run(command(out, *sets), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1
    (folder,) = out.iterdir()
    return RunFolder.open(folder)


@pytest.mark.slow
def test_two_processes_train_and_predict_each_image_once(tmp_path):
    # Five test images for two processes: padding would predict one twice.
    trained = run_in_two_processes(tmp_path / "two", *tiny_sets(data__test=5, train__validate_every=1))
    assert trained.result.budget.images_seen == 24
    assert len(trained.history) == 2
    untrained = tiny_config(data__test=5, train__epochs=0)
    alone = run(untrained, tmp_path / "alone", context=RunContext(page=False))
    shared = run_in_two_processes(tmp_path / "shared", *tiny_sets(data__test=5, train__epochs=0))
    assert shared.path.name != alone.path.name  # their numbers are not equal to the bit
    assert len(alone.detections) > 0
    # Each process has smaller batches, which round differently.
    assert_same_tables(shared.detections, alone.detections)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_process_ends_all_and_the_same_command_continues_to_the_same_result(tmp_path):
    sets = tiny_sets(data__test=5, train__epochs=40, train__checkpoint_minutes=0.002)
    whole = run_in_two_processes(tmp_path / "whole", *sets)
    with (tmp_path / "errors").open("w+") as errors:
        launcher = subprocess.Popen(command(tmp_path / "killed", *sets), stderr=errors)
        wait_for(lambda: any(tmp_path.glob("killed/*/checkpoint/state.pt")), launcher)
        os.kill(children(launcher.pid)[-1], signal.SIGKILL)
        assert launcher.wait(60) == 1
        errors.seek(0)
        assert "SIGKILL" in errors.read()  # the launcher names process and signal
    assert children(launcher.pid) == []
    (partial,) = (tmp_path / "killed").iterdir()
    assert partial.name == f"{whole.path.name}.partial"
    resumed = run_in_two_processes(tmp_path / "killed", *sets)
    assert resumed.path.name == whole.path.name
    assert "resumed" in (resumed.path / "log.jsonl").read_text()
    assert resumed.detections.fingerprint == whole.detections.fingerprint


def children(parent: int) -> list[int]:
    """Ids of the processes that a process has started, in ascending order."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return sorted(found)


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
