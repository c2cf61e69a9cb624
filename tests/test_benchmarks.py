"""The benchmarks start, called by path or as modules, and their folder hides no package."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(file.stem for file in (ROOT / "tests" / "benchmarks").glob("*.py"))
SCRIPTS = [name for name in NAMES if name != "processes"]


@pytest.mark.parametrize("name", NAMES)
def test_no_benchmark_hides_a_package(name: str) -> None:
    # A script's folder comes first on the path: `import coverage` within Numba would find a benchmark of that name.
    assert find_spec(name) is None


@pytest.mark.parametrize("name", SCRIPTS)
def test_benchmark_starts_by_path(name: str) -> None:
    _assert_prints_help(f"tests/benchmarks/{name}.py")


@pytest.mark.parametrize("name", ["evaluators", "parity"])
def test_benchmark_starts_as_a_module(name: str) -> None:
    _assert_prints_help("-m", f"tests.benchmarks.{name}")


def _assert_prints_help(*command: str) -> None:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
