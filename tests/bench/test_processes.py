"""Two processes create one run folder and predict every image once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import dying_run
import pytest
from agreement import assert_same_tables
from forked import in_two_processes
from tiny_runs import tiny_sets

from bench.cli import main
from bench.runs.context import RunContext
from bench.runs.reevaluation import prediction_settings
from bench.runs.run import run
from reports.records.run import RunFolder

# Five test images for two processes: padding would predict one twice.
SETS = tiny_sets(data__test=5, train__validate_every=1, train__checkpoint_minutes=1e-6)


def words(out: Path) -> list[str]:
    return ["run", "--variant", "ssd", "--quiet", "--out", str(out), "--set", *SETS]


def launched(program: Sequence[str], out: Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run([*launcher, *program, *words(out)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two processes."""
    out = tmp_path_factory.mktemp("whole")
    done = launched(["-m", "bench"], out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1
    (folder,) = out.iterdir()
    return RunFolder.open(folder)


def test_two_processes_train_and_predict_each_image_once(whole, tmp_path):
    assert whole.result.budget.images_seen == 24
    assert len(whole.history) == 2
    dataset, config = prediction_settings(whole, ["evaluate.batch=3"])
    alone = run(config, tmp_path, dataset, RunContext(page=False), whole)
    assert len(alone.detections) > 0
    # Each process has smaller batches, which round differently.
    assert_same_tables(whole.detections, alone.detections)


def test_the_number_of_processes_is_part_of_the_name_of_a_run(whole, tmp_path):
    from bench.runs.naming import run_name
    from bench.settings.resolution import open_run_data, resolve

    config = resolve("ssd", sets=SETS)
    assert (
        run_name(config, open_run_data(config)) != whole.path.name
    )  # their numbers are not equal to the bit


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_killed_process_ends_all_and_the_same_command_continues_to_the_same_result(whole, tmp_path):
    out = tmp_path / "runs"
    killed = launched([dying_run.__file__], out)
    assert killed.returncode == 1
    assert "SIGKILL" in killed.stderr  # the launcher names process and signal
    assert not [file for file in Path("/proc").glob("[0-9]*/cmdline") if names(file, out)]
    (partial,) = out.iterdir()
    assert partial.name == f"{whole.path.name}.partial"
    in_two_processes(lambda rank: sys.exit(main(words(out))), tmp_path / "meeting")
    (folder,) = out.iterdir()
    resumed = RunFolder.open(folder)
    assert resumed.path.name == whole.path.name
    events = [json.loads(line) for line in (resumed.path / "log.jsonl").read_text().splitlines()]
    assert "resumed" in {event["event"] for event in events}
    assert resumed.detections.fingerprint == whole.detections.fingerprint


def names(cmdline: Path, folder: Path) -> bool:
    """Whether a process was started with the name of a folder."""
    try:
        return str(folder).encode() in cmdline.read_bytes()
    except OSError:  # ended meanwhile
        return False
