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

START_MODULES = """
import contextlib, io, runpy, sys

path = list(sys.path)
for module in sys.argv[1:]:
    sys.path[:], sys.argv[:] = path, [module, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            sys.exit(f"{module}: --help did not end the program")
        except SystemExit as exit:
            if exit.code:
                raise
    if "usage: " not in printed.getvalue():
        sys.exit(f"{module}: --help printed {printed.getvalue()!r}")
    print(module)
"""
"""Starts modules one after another, each with the search path of a new process: they import torch once."""


def test_benchmarks_start_as_modules() -> None:
    modules = [f"tests.benchmarks.{name}" for name in FILES if name != "processes"]  # not a script
    assert _printed("-c", START_MODULES, *modules).split() == modules


@pytest.mark.parametrize("name", BY_PATH)
def test_benchmark_starts_by_path(name: str) -> None:
    assert "usage: " in _printed(f"tests/benchmarks/{name}.py", "--help")


@pytest.mark.parametrize("name", FILES)
def test_benchmark_hides_no_package(name: str) -> None:
    assert find_spec(name) is None


def _printed(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
