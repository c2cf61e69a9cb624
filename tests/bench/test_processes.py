"""Two processes create one run folder and predict every image once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from agreement import assert_same_tables
from tiny_runs import tiny_config, tiny_sets

from bench.runs.context import RunContext
from bench.runs.run import run
from reports.records.run import RunFolder


def run_in_two_processes(out: Path, *sets: str) -> RunFolder:
    arguments = ["run", "--variant", "ssd", "--quiet", "--out", str(out), "--set", *sets]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launcher, "-m", "bench", *arguments], capture_output=True, text=True)
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
    assert shared.path.name == alone.path.name
    assert len(alone.detections) > 0
    # Each process has smaller batches, which round differently.
    assert_same_tables(shared.detections, alone.detections)
