"""The scripts and the notebook in examples/ run unchanged, those that train on a smaller data set."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from undrawn import undrawn

from bench.cli import main
from bench.settings import resolution

ROOT = Path(__file__).resolve().parents[1]
MEASURING = ("compare_detectors.py", "score_detections.py")
"""Scripts that compute measures alone."""
TRAINING = ("train_and_report.py",)
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

SMALLER = (
    "data.train=16 data.val=4 data.test=6 train.epochs=1 image.size=64,64 backbone.base_channel=4 threads=1"
)
"""Settings that replace those of an example."""


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; pages are not drawn."""
    monkeypatch.chdir(tmp_path)
    with undrawn():
        yield tmp_path


@pytest.mark.parametrize("name", MEASURING)
def test_scripts_of_measures_run_and_import_no_torch(name: str, tmp_path: Path) -> None:
    script = str(ROOT / "examples" / name)
    code = (
        f"import runpy, sys; runpy.run_path({script!r}, run_name='__main__'); "
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("name", TRAINING)
def test_scripts_that_train_run(
    name: str, inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resolve = resolution.resolve
    monkeypatch.setattr(
        resolution,
        "resolve",
        lambda *args, sets, **kwargs: resolve(*args, sets=[*sets, *SMALLER.split()], **kwargs),
    )
    monkeypatch.setattr(sys, "argv", [name, "made"])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    printed = capsys.readouterr().out
    assert "AP" in printed
    assert Path(printed.split()[-1]).is_file()
    assert any((inside / "made").iterdir())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_and_are_stored_without_output(
    notebook: Path, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    code = "\n\n".join("".join(cell["source"]) for cell in cells)
    ast.parse(code)  # no magics: it runs without IPython

    other = subprocess.run
    ran = []

    def run_here(command: list[str], **options: Any) -> Any:
        """Run a command of bench in this process, which has imported torch, on a smaller data set."""
        if command[:3] != [sys.executable, "-m", "bench"]:  # what describes the machine
            return other(command, **options)
        ran.append(command)
        assert main([*command[3:], *SMALLER.split()]) == 0
        return None

    monkeypatch.setattr(subprocess, "run", run_here)
    exec(compile(code, notebook.name, "exec"), ModuleType("__notebook__").__dict__)
    assert ran


def test_the_list_of_examples_is_complete() -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    scripts = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert scripts == sorted([*MEASURING, *TRAINING])
    assert all(f"]({name})" in text for name in [*scripts, *(path.name for path in NOTEBOOKS)])
