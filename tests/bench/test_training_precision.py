"""`train.precision=auto`: the choice by measured times, what is recorded, and that a continued run keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_runs import tiny_config

from bench.data.types import Dataset
from bench.learning_rate.finder import find_learning_rate
from bench.learning_rate.range_test import RateRange
from bench.process.interrupts import Stopped, StopRequest
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.run import run
from bench.settings.resolution import open_run_data
from bench.training import precision, timed_updates
from bench.training.checkpoint import Position
from reports.analysis.report_data import ReportData
from reports.records.run import RunFolder
from reports.sections.budget import section

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_run_data(tiny_config(workers=0))


def same_weights(one: RunFolder, other: RunFolder) -> bool:
    first, second = (load_file(made.path / RunFolder.WEIGHTS) for made in (one, other))
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"no": 1.2, "bf16": 1.0}, "bf16"),
        ({"no": 1.05, "bf16": 1.0}, "no"),
        ({"no": 1, "bf16": 3}, "no"),
        ({}, "no"),
    ],
)
def test_bfloat16_is_chosen_only_where_it_is_clearly_faster(seconds: dict[str, float], chosen: str) -> None:
    assert precision.faster(seconds) == chosen


def test_both_precisions_are_timed_and_the_detector_is_unchanged(dataset: Dataset) -> None:
    config = tiny_config(workers=0)
    detector = build_detector(config, len(dataset.classes))
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    seconds = precision.step_seconds(detector, dataset.splits["train"], config)
    assert set(seconds) in ({"no", "bf16"}, set())
    assert all(value > 0 for value in seconds.values())
    assert all(tensor.equal(before[name]) for name, tensor in detector.state_dict().items())
    assert all(parameter.grad is None for parameter in detector.parameters())


@pytest.mark.parametrize("chosen", ["no", "bf16"])
def test_the_chosen_precision_trains_as_if_it_were_set_and_is_kept_when_continued(
    chosen: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"no": 1.0, "bf16": 0.5 if chosen == "bf16" else 2.0}
    monkeypatch.setattr(precision, "step_seconds", lambda *args: times)
    named = run(tiny_config(train__precision=chosen, workers=0), tmp_path, dataset, RunContext(page=False))
    config = tiny_config(train__precision="auto", workers=0)
    stop = StopRequest()
    stop.signum = 15  # stops after the first step
    with pytest.raises(Stopped):
        run(config, tmp_path, dataset, RunContext(stop=stop, page=False))
    monkeypatch.setattr(precision, "step_seconds", lambda *args: pytest.fail("measured again"))
    made = run(config, tmp_path, dataset, RunContext(page=False))
    assert made.result.name != named.result.name
    assert same_weights(made, named)
    assert made.result.precision is not None
    assert (made.result.precision.chosen, made.result.precision.seconds) == (chosen, times)
    assert named.result.precision is None
    method = " ".join(map(str, section(ReportData.from_runs([made])).method))
    expected = {
        "no": "float32 (float32 1e+03 ms, bfloat16 2e+03 ms)",
        "bf16": "bfloat16 (float32 1e+03 ms, bfloat16 500 ms)",
    }
    assert expected[chosen] in method


def test_another_precision_of_the_settings_is_not_timed(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "step_seconds", lambda *args: pytest.fail("measured"))
    config = tiny_config(train__precision="bf16")
    position = Position()
    detector = build_detector(config, len(dataset.classes))
    assert precision.training_precision(detector, dataset.splits["train"], config, position) == "bf16"
    assert position == Position()


def test_a_dry_run_and_the_learning_rate_finder_choose_it_too(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "step_seconds", lambda *args: {"no": 2.0, "bf16": 1.0})
    monkeypatch.setattr(timed_updates, "UPDATES", 1)
    config, split = tiny_config(train__precision="auto", workers=0), dataset.splits["train"]
    detector = build_detector(config, len(dataset.classes))
    assert timed_updates.time_updates(detector, split, config).seconds > 0
    losses = [
        find_learning_rate(
            build_detector(each, len(dataset.classes)), split, each, RateRange(1e-5, 1e-3, 10)
        ).loss
        for each in (config, tiny_config(train__precision="bf16", workers=0))
    ]
    assert losses[0].tolist() == losses[1].tolist()
