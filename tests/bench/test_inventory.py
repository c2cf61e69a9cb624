"""Lists of results: state of each folder; removal of partial and superseded runs, never of one that is in use."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.cli import main
from bench.runs import inventory
from bench.runs.inventory import find_results
from reports.records.run import DataFacts, RunResult, save_result

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = DataFacts(
    name="cells", format="coco", split="test", fingerprint="0" * 64, images=1, objects=1, classes=1
)


def finish(folder: Path, name: str, hours: float = 0, data: str = "cells", **changes: object) -> Path:
    """A finished run without tables."""
    result = RunResult(
        name=name, variant="ssd", data=FACTS, seed=0, finished=NOW + timedelta(hours=hours), headline={"ap": 0.25}
    )  # fmt: skip
    path = save_result(folder / name, result.model_copy(update=changes)).path
    (path / "config.toml").write_text(f'[data]\npath = "{data}"\n')
    return path


def states(folder: Path) -> dict[str, str]:
    return {each.path.name: each.state for each in find_results(folder)}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with one of each kind."""
    finish(tmp_path, "old", 0)
    finish(tmp_path, "new", 1)
    finish(tmp_path, "other-seed", 0, seed=1)
    finish(tmp_path, "other-settings", 0, config={"nms": {"iou": 0.4}})
    finish(tmp_path, "other-data", 0, data="elsewhere")
    finish(tmp_path, "elsewhere").joinpath("config.toml").unlink()
    (tmp_path / "ssd-cells-0-aaaaaaaaaa.partial" / "checkpoint").mkdir(parents=True)
    (tmp_path / "ssd-cells-0-aaaaaaaaaa.partial" / "checkpoint" / "state.pt").write_bytes(b"x" * 1000)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "result.json").write_text("{")
    (tmp_path / "comparison-1").mkdir()
    (tmp_path / "comparison-1" / "leaderboard.csv").write_text("run\n")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "journal.log").write_text("")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a")
    (tmp_path / "notes.txt").write_text("not a folder")
    return tmp_path


EXPECTED = {
    "old": "superseded",
    "new": "finished",
    "other-seed": "finished",
    "other-settings": "finished",
    "other-data": "finished",
    "elsewhere": "finished",
    "ssd-cells-0-aaaaaaaaaa.partial": "partial",
    "damaged": "unreadable",
    "comparison-1": "comparison",
    "study": "study",
}


def test_each_folder_of_results_is_listed_with_its_state(results, capsys):
    assert states(results) == EXPECTED
    assert main(["runs", str(results)]) == 0
    table = capsys.readouterr().out
    assert "superseded by new" in table
    assert "photos" not in table
    assert main(["runs", str(results), "--json"]) == 0
    folders = json.loads(capsys.readouterr().out)["folders"]
    assert {Path(each["path"]).name: each["state"] for each in folders} == EXPECTED
    (partial,) = [each for each in folders if each["state"] == "partial"]
    assert partial["size"] == 1000


def test_partial_and_superseded_runs_are_removed_after_asking_for_each_kind(results, capsys, monkeypatch):
    answers = iter([False, True])
    asked = []
    monkeypatch.setattr("typer.confirm", lambda text: asked.append(text) or next(answers))
    assert main(["runs", str(results), "--clean"]) == 0
    assert [text.split(" (")[0] for text in asked] == ["remove 1 partial run", "remove 1 superseded run"]
    assert states(results) == {name: state for name, state in EXPECTED.items() if state != "superseded"}
    assert main(["runs", str(results), "--clean", "--yes"]) == 0
    kept = {name: state for name, state in EXPECTED.items() if state not in ("superseded", "partial")}
    assert states(results) == kept
    assert (results / "photos" / "a.jpg").exists()


@pytest.mark.parametrize("words", [["--clean", "--json"], ["--yes"], ["--yes", "--json"], ["--clean"]])
def test_fault_71_runs_that_cannot_ask_says_so_and_removes_nothing(results, capsys, monkeypatch, words):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["runs", str(results), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(("error: --clean: ", "error: --yes: "))
    assert states(results) == EXPECTED
    if words[0] == "--clean":  # the advice
        assert "add --yes" in line
        assert main(["runs", str(results), *words, "--yes"]) == 0
        assert "superseded" not in states(results).values()


def test_fault_123_a_partial_folder_of_another_program_is_neither_listed_nor_removed(results):
    (results / "holiday.partial").mkdir()
    (results / "holiday.partial" / "film.mp4").write_bytes(b"film")
    assert states(results) == EXPECTED
    assert main(["runs", str(results), "--clean", "--yes"]) == 0
    assert (results / "holiday.partial" / "film.mp4").read_bytes() == b"film"


def test_files_of_folders_without_results_are_not_counted(results, monkeypatch):
    counted = []
    extent = inventory._extent
    monkeypatch.setattr(inventory, "_extent", lambda path: counted.append(path.name) or extent(path))
    find_results(results)
    assert sorted(counted) == sorted(EXPECTED)


@contextmanager
def held(lock: Path) -> Iterator[int]:
    """Another process that holds a lock; its id."""
    code = (
        "import os, sys, pathlib; from bench.process.locks import hold\n"
        f"with hold(pathlib.Path({str(lock)!r})): print(os.getpid(), flush=True); sys.stdin.read()"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("lock", [".lock", ".profile-lock"])
def test_work_in_progress_is_named_with_its_process_and_never_removed(results, capsys, lock):
    partial = results / "ssd-cells-0-aaaaaaaaaa.partial"
    before = find_results(results)
    with held(partial / lock) as pid:
        (running,) = [each for each in find_results(results) if each.path == partial]
        assert running.state == "running"
        assert running.owner is not None
        assert running.owner.pid == pid
        assert main(["runs", str(results), "--clean", "--yes"]) == 0
        assert f"in progress: process {pid}" in " ".join(capsys.readouterr().out.split())
        assert partial.is_dir()
        # A process that began between listing and removal.
        from bench.runs.inventory import remove

        assert remove([each for each in before if each.path == partial]) == []
        assert partial.is_dir()
    assert states(results)[partial.name] == "partial"


def test_a_folder_that_does_not_exist_is_named(tmp_path, capsys):
    assert main(["runs", str(tmp_path / "none")]) == 2
    assert "no such folder; give the folder that --out named" in capsys.readouterr().err
