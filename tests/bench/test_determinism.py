"""The same name has the same results: what changes numbers is part of the name, and what is measured is kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_runs import tiny_config

from bench.process import distributed
from bench.runs.context import RunContext
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run_data
from reports.pages import write_report
from reports.records.run import RunFolder


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def name_of(config: RunConfig) -> str:
    return run_name(config, open_run_data(config))


def test_fault_76_the_number_of_threads_is_part_of_the_name_of_a_run_on_the_cpu():
    unset = tiny_config(threads=0)
    with torch_threads(1):
        one = name_of(unset)
        assert one == name_of(tiny_config(threads=1))
        assert name_of(tiny_config(threads=2)) != one
    with torch_threads(2):
        assert name_of(unset) == name_of(tiny_config(threads=2))
        assert name_of(tiny_config(threads=1)) == one


def test_fault_76_a_device_that_was_chosen_is_that_device(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert name_of(tiny_config(device="auto")) == name_of(tiny_config(device="cpu"))


def test_fault_76_the_number_of_processes_is_part_of_the_name(monkeypatch):
    config = tiny_config()
    one = name_of(config)
    monkeypatch.setattr(distributed, "num_processes", lambda: 2)
    assert name_of(config) != one


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two runs of equal causes, the second in a process with other threads and with workers."""
    folders = []
    for number, workers in enumerate((0, 2)):
        with torch_threads(number + 1):
            config = tiny_config(threads=1, train__epochs=1, workers=workers)
            out = tmp_path_factory.mktemp("runs")
            folders.append(run(config, out, context=RunContext(page=False)).path)
    return folders


def test_fault_76_equal_causes_give_equal_names_and_bytes(twice):
    first, second = twice
    assert first.name == second.name
    for name in ("weights.safetensors", "detections.parquet", "truth.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_fault_76_tables_of_equal_causes_are_equal_bytes_but_for_what_was_measured(twice, tmp_path):
    written = []
    for number, folder in enumerate(twice):
        write_report([RunFolder.open(folder)], tmp_path / str(number))
        written.append({path.name: path.read_bytes() for path in (tmp_path / str(number)).glob("*.csv")})
    first, second = written
    assert first.keys() == second.keys() >= {"leaderboard.csv", "metrics.csv", "resources.csv"}
    measured = {"resources.csv", "training.csv"}
    for name in first.keys() - measured:
        assert first[name] == second[name], name
    seconds = pd.read_csv(tmp_path / "0" / "resources.csv")
    assert (seconds[["train_seconds", "total_seconds"]] > 0).all(axis=None)
