"""Hypothesis profiles, the garbage collector and the folder of real data, for all tests."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parents[1]))  # for `tests.benchmarks`, after the installed packages

settings.register_profile(
    "small", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile(
    "thorough", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("small")  # replace it with pytest --hypothesis-profile=thorough


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over modules and tests, which live to the end, and collect less often.

    Half a million objects take .3 s each time; a tenth of the time of tests was spent on them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder ``shared/data`` next to the repository; tests that use it are skipped where it is missing."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.resolve()} with real data")
    return folder.resolve()
