"""The scripts and the notebook in examples/ run unchanged."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def run_python(*arguments: str, folder: Path) -> str:
    """Run Python in `folder` and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_run(script: Path, tmp_path: Path) -> None:
    assert run_python(str(script), folder=tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_and_are_stored_without_output(notebook: Path, tmp_path: Path) -> None:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    code = "\n\n".join("".join(cell["source"]) for cell in cells)
    ast.parse(code)  # no magics: it runs without IPython
    (tmp_path / "notebook.py").write_text(code, encoding="utf-8")
    run_python("notebook.py", folder=tmp_path)


def test_scripts_of_measures_import_no_torch(tmp_path: Path) -> None:
    for name in ("score_detections.py", "compare_detectors.py"):
        check = f"import runpy, sys; runpy.run_path({str(ROOT / 'examples' / name)!r}); assert 'torch' not in sys.modules"
        run_python("-c", check, folder=tmp_path)


def test_the_list_of_examples_is_complete() -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert all(f"]({path.name})" in text for path in [*SCRIPTS, *NOTEBOOKS])
