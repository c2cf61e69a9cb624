"""Levels of a design, shared by several processes: what another one is doing is passed over and tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import tiny_sets

from bench.cli import main
from bench.designs import levels as levels_module
from bench.designs.folds import fold_levels, pool_levels
from bench.designs.levels import run_levels
from bench.process import locks
from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.folders import Busy
from metrics.errors import MachineError
from reports.records.run import DataFacts, RunFolder, RunResult

OWNER = locks.Owner(1, "elsewhere", "2026-01-01T00:00:00Z")


class Messages(Progress):
    """Progress that keeps its messages."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def run_stub(calls: list[int], busy: dict[int, int]):
    """A run that another process is doing at the first `busy[fold]` calls of a fold."""

    def run_one(config, out, dataset, context) -> RunFolder:
        fold = config.data.fold
        calls.append(fold)
        if calls.count(fold) <= busy.get(fold, 0):
            raise Busy(Path(out), OWNER)
        name = levels_module.run_name(config, dataset)
        facts = DataFacts(name="d", format="f", split="test", fingerprint="", images=1, objects=1, classes=1)
        return RunFolder(
            Path(out) / name, RunResult(name=name, variant=config.variant, data=facts, seed=config.seed)
        )

    return run_one


def sources() -> dict[str, object]:
    return {"data": None, "file": None, "sets": tiny_sets(), "options": {}}


def test_what_another_process_does_is_tried_again_at_the_end(tmp_path, monkeypatch):
    calls: list[int] = []
    # Within a level, a run that is held is tried twice.
    monkeypatch.setattr(levels_module, "run", run_stub(calls, {1: 2}))
    context = RunContext(progress=Messages())
    done = run_levels(fold_levels(3), [("ssd", None)], sources(), 1, tmp_path, context)
    assert calls == [1, 1, 2, 3, 1]
    assert [len(level.runs) for level in done] == [1, 1, 1]
    assert len({run.result.name for level in done for run in level.runs.values()}) == 3


def test_a_model_without_all_folds_is_not_pooled(tmp_path, monkeypatch):
    monkeypatch.setattr(levels_module, "run", run_stub([], {2: 99}))
    context = RunContext(progress=Messages())
    done = run_levels(fold_levels(3), [("ssd", None)], sources(), 1, tmp_path, context)
    assert [len(level.runs) for level in done] == [1, 0, 1]
    assert pool_levels(done, tmp_path, context) == []
    texts = context.progress.texts
    assert any(text.startswith("not included: ") and "elsewhere" in text for text in texts)
    assert "ssd, seed 0: 2 of 3 folds are finished; not included" in texts


def test_all_runs_held_by_others_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(levels_module, "run", run_stub([], {1: 99, 2: 99}))
    with pytest.raises(Busy, match="process 1 on elsewhere"):
        run_levels(fold_levels(2), [("ssd", None)], sources(), 1, tmp_path, RunContext())
    assert issubclass(Busy, MachineError)


def test_a_data_check_says_that_splits_are_of_a_fold(capsys):
    sets = [
        "data.train=8",
        "data.val=4",
        "data.test=4",
        "data.size=32,32",
        "data.scale=8,24",
        "data.folds=2",
        "data.fold=1",
    ]
    assert main(["data", "shapes", "--fast", "--set", *sets]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("origin")]
    assert line.split()[1:] == ["fold", "fold", "fold"]
