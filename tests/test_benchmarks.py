"""Benchmarks start, and their folder hides no package."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(file.stem for file in (ROOT / "tests" / "benchmarks").glob("*.py"))
BY_PATH = ("evaluators", "parity", "resampling")
"""Documented as `python tests/benchmarks/NAME.py`."""


@pytest.mark.parametrize("name", FILES)
def test_benchmark_starts_as_a_module(name: str) -> None:
    if name != "processes":  # not a script
        _assert_prints_help("-m", f"tests.benchmarks.{name}")


@pytest.mark.parametrize("name", BY_PATH)
def test_benchmark_starts_by_path(name: str) -> None:
    _assert_prints_help(f"tests/benchmarks/{name}.py")


@pytest.mark.parametrize("name", FILES)
def test_benchmark_hides_no_package(name: str) -> None:
    assert find_spec(name) is None


def _assert_prints_help(*command: str) -> None:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
