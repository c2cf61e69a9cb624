"""A run or a comparison that is killed at any file operation: nothing is stuck, mixed or left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from killed import contents, states_after_kills
from safetensors.torch import load_file
from tiny_runs import tiny_config

from bench.runs.context import RunContext
from bench.runs.run import run
from metrics.atomic_files import atomic_write_together, remove_abandoned

WITHOUT_PAGE = RunContext(page=False)


def results(folder: Path) -> dict[str, object]:
    """The files of a finished run without clocks and logs; the weights as values, since their metadata has no order."""
    files: dict[str, object] = dict(contents(folder))
    del files["log.jsonl"], files["weights.safetensors"]
    files.pop(".lock", None)  # of a process killed after the folder got its final name
    weights = {name: value.tolist() for name, value in load_file(folder / "weights.safetensors").items()}
    history = [line.split(",") for line in files.pop("history.csv").decode().splitlines()]
    clocks = [at for at, name in enumerate(history[0]) if name.endswith("seconds")]
    result = json.loads(files.pop("result.json"))
    for name in ("started", "finished", "command", "warnings", "environment", "files"):
        result.pop(name)
    for name in ("train_seconds", "step_seconds", "total_seconds"):
        result["budget"].pop(name)
    return files | {
        "history": [[value for at, value in enumerate(row) if at not in clocks] for row in history],
        "result": result,
        "weights": weights,
    }


def test_fault_43_a_run_killed_before_any_file_operation_resumes_to_the_same_result(tmp_path):
    config = tiny_config(data__train=8, data__val=2, data__test=3)  # two steps in each of two epochs
    out = tmp_path / "runs"
    out.mkdir()
    whole = results(run(config, tmp_path / "whole", context=WITHOUT_PAGE).path)
    states = states_after_kills(out, lambda: run(config, out, context=WITHOUT_PAGE), tmp_path / "copies")
    assert len(states) > 20
    for state in states:
        resumed = run(config, state, context=WITHOUT_PAGE)
        assert results(resumed.path) == whole, state
        assert [path.name for path in state.iterdir()] == [resumed.path.name], state
        assert not any(".writing-" in name for name in contents(state)), state


@pytest.mark.parametrize("before", [True, False], ids=["over_old_files", "new"])
def test_files_written_together_are_all_old_or_all_new_beside_a_page(tmp_path, before):
    old = {"a.csv": b"old a", "figures/b.svg": b"old b", "page.html": b"old page"}
    new = {"a.csv": b"new a", "figures/b.svg": b"new b", "c.csv": b"new c", "page.html": b"new page"}
    folder = tmp_path / "page"

    def write(files: dict[str, bytes]) -> None:
        others = {folder / name: content for name, content in files.items() if name != "page.html"}
        atomic_write_together(others, folder / "page.html", files["page.html"])

    folder.mkdir()
    if before:
        write(old)
    states = states_after_kills(folder, lambda: write(new), tmp_path / "copies")
    kept = []
    for state in states:
        files = {name: content for name, content in contents(state).items() if ".writing-" not in name}
        if "page.html" in files:
            assert files in (old, new)
        kept.append(files)
    assert kept[0] == (old if before else {})
    assert kept[-1] == new == contents(folder)


def test_temporary_files_of_ended_processes_are_removed_and_those_of_living_ones_kept(tmp_path, monkeypatch):
    from metrics import atomic_files

    monkeypatch.setattr(atomic_files, "_is_alive", lambda pid: pid == 2)
    host = atomic_files._host()
    for pid in (1, 2):
        (tmp_path / f".writing-{host}-{pid}-abc.csv").touch()
    (tmp_path / ".writing-elsewhere-1-abc.csv").touch()
    remove_abandoned(tmp_path)
    left = {".writing-elsewhere-1-abc.csv", f".writing-{host}-2-abc.csv"}
    assert {path.name for path in tmp_path.iterdir()} == left
