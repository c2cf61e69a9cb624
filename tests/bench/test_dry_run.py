"""`bench run --dry-run`: states, times and disk space, and nothing that is written."""

from __future__ import annotations

import json
import time

import pytest
from killing_log import Killed, KillingLog
from tiny_runs import tiny_config, tiny_sets

from bench.cli import main
from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.disk_space import training_bytes, weights_bytes
from bench.runs.forecast import plan_runs
from bench.runs.run import run
from bench.settings.resolution import open_run_data
from bench.training import timed_updates
from bench.training.loop import train
from bench.training.step import Stepper
from bench.training.timed_updates import TimedUpdates, time_updates


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def slow_updates(monkeypatch):
    """Each update takes at least 20 ms, the first one 300 ms."""
    real, calls = Stepper.__call__, []

    def called(self, batches, factor):
        calls.append(len(batches))
        time.sleep(0.3 if len(calls) == 1 else 0.02)
        return real(self, batches, factor)

    monkeypatch.setattr(Stepper, "__call__", called)
    return calls


def timed(**settings):
    config = tiny_config(**settings)
    dataset = open_run_data(config)
    return time_updates(build_detector(config, len(dataset.classes)), dataset.splits["train"], config)


def test_ten_updates_are_timed_after_one_that_is_not(slow_updates):
    """Also if an epoch has fewer; the mean does not contain the slow first one."""
    began = time.monotonic()
    result = timed(train__epochs=7)
    assert slow_updates == [1] * 11
    assert (result.updates, result.epochs) == (21, 7)
    assert 0.02 <= result.update_seconds <= (time.monotonic() - began - 0.3) / 10
    assert result.seconds == pytest.approx(21 * result.update_seconds)


def test_the_length_is_that_of_the_budget(slow_updates):
    assert timed(train__budget__images=20, train__accumulate=2).updates == 3  # 8 and 4 of an epoch, then 8
    minutes = timed(train__budget__minutes=0.5)
    assert minutes.seconds == pytest.approx(30)


@pytest.fixture
def one_second(monkeypatch):
    """An update takes a second, the prediction of an image a tenth of one."""
    from bench.runs import forecast

    def time_updates(detector, split, config, teacher):
        result = timed_updates.time_updates(detector, split, config, teacher)
        return TimedUpdates(1.0, result.updates, result.epochs)

    monkeypatch.setattr(timed_updates, "UPDATES", 1)
    monkeypatch.setattr(forecast, "time_updates", time_updates)
    monkeypatch.setattr(forecast, "_prediction_seconds", lambda detector, split, config: 0.1)


def planned(out, configs, fresh=False):
    return plan_runs(configs, open_run_data(configs[0]), out, fresh, Progress(), {})


@pytest.mark.parametrize(
    ("settings", "training"),
    [
        ({"train__epochs": 2}, 6 + 0.4),  # 6 updates, and the last epoch is validated on 4 images
        ({"train__epochs": 5, "train__validate_every": 2}, 15 + 3 * 0.4),
        ({"train__budget__images": 28, "train__validate_every": 1}, 7 + 3 * 0.4),
        ({"train__epochs": 0}, 0),
    ],
)
def test_time_is_that_of_updates_validations_and_the_test(one_second, tmp_path, settings, training):
    (plan,) = planned(tmp_path, [tiny_config(**settings)])
    assert plan.train_seconds == pytest.approx(training)
    assert plan.test_seconds == pytest.approx(0.6)


def test_finished_runs_are_reused_and_interrupted_ones_continue(one_second, tmp_path):
    config = tiny_config(train__epochs=4, train__checkpoint_minutes=1e-9)
    done = run(config, tmp_path, context=RunContext(page=False))
    other = config.with_seed(1)

    from bench.runs.naming import run_name

    dataset = open_run_data(config)
    partial = tmp_path / f"{run_name(other, dataset)}.partial"
    splits = dataset.splits
    with pytest.raises(Killed):
        train(
            build_detector(other, len(dataset.classes)), splits["train"], splits["val"], other, partial / "checkpoint",
            log=KillingLog(when=lambda facts: facts["epoch"] == 2),
        )  # fmt: skip
    before = files(tmp_path)
    configs = [config, other, config.with_seed(2)]
    first, second, third = planned(tmp_path, configs)
    assert [plan.state for plan in (first, second, third)] == ["finished", "interrupted", "new"]
    assert (first.name, first.seconds) == (done.path.name, 0)
    assert second.train_seconds == pytest.approx(third.train_seconds / 2)
    assert [plan.state for plan in planned(tmp_path, configs, fresh=True)] == ["new"] * 3
    assert files(tmp_path) == before


def test_disk_space_is_that_of_checkpoints_and_weights(one_second, tmp_path):
    config = tiny_config()
    (plan,) = planned(tmp_path, [config])
    network = build_detector(config, len(open_run_data(config).classes))
    numbers = sum(parameter.numel() for parameter in network.parameters())
    assert plan.kept_bytes == weights_bytes(network) == 4 * numbers
    assert plan.peak_bytes == training_bytes(network) == 10 * 4 * numbers + 64 * 2**20


def test_the_command_prints_each_run_and_writes_nothing(one_second, tmp_path, capsys):
    words = [
        "run",
        "--variant",
        "ssd",
        "fcos",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "runs"),
        "--dry-run",
        "--quiet",
    ]
    sets = ["--set", *tiny_sets("")]
    assert main([*words, *sets]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0][:4] for line in lines[1:5]] == ["ssd-", "ssd-", "fcos", "fcos"]
    assert lines[5] == "4 runs: 4 new"
    assert lines[6] == "time: about 28 s on this machine, without evaluation and pages"  # 4 (6 + 0.4 + 0.6) s
    assert lines[7].startswith("disk: about ")
    assert not (tmp_path / "runs").exists()
    assert main([*words, "--json", "--folds", "3", *sets]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [plan["level"] for plan in found["runs"]] == [
        f"fold {k} of 3" for k in (1, 2, 3) for _ in range(4)
    ]
    assert found["needed_bytes"] < found["free_bytes"]
    assert found["seconds"] == pytest.approx(sum(plan["seconds"] for plan in found["runs"]))


def test_external_models_are_listed_without_time(one_second, tmp_path, capsys):
    words = [
        "run",
        "--variant",
        "ssd",
        "torchvision/ssd300_vgg16",
        "--out",
        str(tmp_path / "runs"),
        "--dry-run",
        "--quiet",
    ]
    sets = [f"ssd.{each}" if each.startswith("backbone") else each for each in tiny_sets("")]
    assert main([*words, "--set", *sets]) == 0
    out = capsys.readouterr().out
    assert "2 runs: 2 new" in out
    assert "and without torchvision/ssd300_vgg16, which is not timed" in out
