"""A training that is stopped anywhere and resumed gives bit-identical weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from killing_log import Killed, KillingLog
from safetensors.torch import load_file
from tiny_runs import tiny_config, tiny_sets

from bench.cli import main
from bench.process.interrupts import Stopped, StopRequest
from bench.process.log import Log
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.training import loop as train_module
from bench.training.checkpoint import STATE, load_state
from bench.training.loop import train
from bench.training.training_result import TrainingResult
from metrics.errors import InputError


def trained(folder: Path, log: Log | None = None, stop: StopRequest | None = None, **settings: Any):
    """Result and final weights; one second of training is not enough to save by time, so each step saves."""
    config = tiny_config(**({"train__checkpoint_minutes": 1e-9, "train__validate_every": 1} | settings))
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    result = train(
        detector, dataset.splits["train"], dataset.splits["val"], config, folder, log=log, stop=stop
    )
    return result, {name: tensor.clone() for name, tensor in detector.state_dict().items()}


def without_clock(result: TrainingResult) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in result.history]


def assert_same(one, other) -> None:
    assert without_clock(one[0]) == without_clock(other[0])
    assert (one[0].images_seen, one[0].best_epoch) == (other[0].images_seen, other[0].best_epoch)
    for name, tensor in one[1].items():
        assert torch.equal(tensor, other[1][name]), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory):
    return trained(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_fault_43_killed_after_any_save_the_result_is_the_same(uninterrupted, tmp_path, after):
    with pytest.raises(Killed):
        trained(tmp_path, KillingLog(after))
    assert_same(trained(tmp_path), uninterrupted)


def test_fault_43_killed_again_and_again_the_result_is_the_same(uninterrupted, tmp_path):
    for _ in range(5):
        with pytest.raises(Killed):
            trained(tmp_path, KillingLog(1))
    assert_same(trained(tmp_path), uninterrupted)


def test_fault_43_killed_between_the_best_weights_and_the_state_that_names_them(
    uninterrupted, tmp_path, monkeypatch
):
    real = train_module.save_state

    def dies_at_the_end_of_an_epoch(folder, position, states):
        if position.batch == 0 and position.epoch == 2:
            raise Killed
        real(folder, position, states)

    monkeypatch.setattr(train_module, "save_state", dies_at_the_end_of_an_epoch)
    with pytest.raises(Killed):
        trained(tmp_path)
    monkeypatch.undo()
    assert_same(trained(tmp_path), uninterrupted)


def test_fault_43_killed_while_the_state_is_written_the_last_one_is_there(
    uninterrupted, tmp_path, monkeypatch
):
    real, calls = torch.save, []

    def dies_half_way(whole, path):
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half a state")
            raise Killed
        real(whole, path)

    monkeypatch.setattr(torch, "save", dies_half_way)
    with pytest.raises(Killed):
        trained(tmp_path)
    monkeypatch.undo()
    assert load_state(tmp_path) is not None
    assert_same(trained(tmp_path), uninterrupted)


def test_fault_44_a_requested_stop_saves_and_names_how_to_resume(uninterrupted, tmp_path):
    stop = StopRequest()

    class Asking(Log):
        def write(self, event, **facts):
            stop.signum = signal.SIGTERM

    with pytest.raises(Stopped) as caught:
        trained(tmp_path, Asking(), stop, train__checkpoint_minutes=1e-9)
    assert str(caught.value) == "stopped by SIGTERM; training is saved; the same command resumes it"
    assert_same(trained(tmp_path), uninterrupted)


def test_saving_does_not_change_the_result(uninterrupted, tmp_path):
    assert_same(trained(tmp_path, train__checkpoint_minutes=10.0), uninterrupted)


def test_workers_do_not_change_the_result(uninterrupted, tmp_path):
    assert_same(trained(tmp_path, workers=1), uninterrupted)


def test_accumulated_batches_are_taken_up_again_where_they_were_left(tmp_path):
    settings = {"train__accumulate": 2, "train__average": 0.0, "train__optimizer": "sgd", "train__lr": 0.01}
    whole = trained(tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        trained(tmp_path / "broken", KillingLog(1), **settings)
    assert_same(trained(tmp_path / "broken", **settings), whole)


def test_repeated_images_are_taken_up_again_where_they_were_left(tmp_path):
    settings = {"train__sampling__rule": "repeat", "train__sampling__threshold": 0.9, "train__average": 0.0}
    whole = trained(tmp_path / "whole", **settings)
    assert whole[0].images_seen > 24
    with pytest.raises(Killed):
        trained(tmp_path / "broken", KillingLog(2), **settings)
    assert_same(trained(tmp_path / "broken", **settings), whole)


def test_anchors_and_regions_are_drawn_again_where_they_were_left(tmp_path):
    settings = {"variant": "faster_rcnn", "regions__samples": 8, "proposals__samples": 8}
    whole = trained(tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        trained(tmp_path / "broken", KillingLog(2), **settings)
    assert_same(trained(tmp_path / "broken", **settings), whole)


def test_fault_43_a_damaged_state_is_an_error_that_names_fresh(tmp_path):
    (tmp_path / STATE).write_bytes(b"not a state")
    with pytest.raises(InputError) as caught:
        load_state(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / STATE}: damaged, or not a checkpoint; start this run again with --fresh"
    )


def test_fault_38_a_state_that_holds_code_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"version": 1, "position": {}, "states": Payload()}, tmp_path / STATE)
    with pytest.raises(InputError, match="damaged, or not a checkpoint"):
        load_state(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_fault_43_a_process_that_is_killed_leaves_a_run_that_goes_on(tmp_path):
    sets = tiny_sets(train__checkpoint_minutes=1e-9, train__epochs=3, train__validate_every=1)

    def words(out: str) -> list[str]:
        return ["run", "--variant", "ssd", "--quiet", "--out", str(tmp_path / out), "--set", *sets]

    process = subprocess.Popen([sys.executable, "-m", "bench", *words("killed")])
    deadline = time.monotonic() + 120
    while not any('"saved"' in log.read_text() for log in (tmp_path / "killed").glob("*.partial/log.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "killed").glob("*/result.json"))
    for out in ("killed", "whole"):
        assert main(words(out)) == 0
    (killed,), (whole,) = ([*(tmp_path / out).glob("ssd-*")] for out in ("killed", "whole"))
    assert killed.name == whole.name
    events = [json.loads(line)["event"] for line in (killed / "log.jsonl").read_text().splitlines()]
    assert "resumed" in events
    one, other = load_file(killed / "weights.safetensors"), load_file(whole / "weights.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("detections.parquet", "truth.parquet", "metrics.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
