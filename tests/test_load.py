"""The work of the load benchmark succeeds at small sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from undrawn import undrawn

from tests.benchmarks.load import ROWS, measure

SIZES = {"objects": 50, "classes": 20, "images": 30, "pixels": 400, "shards": 2_000, "page": 1, "study": 30}


def test_every_row_has_a_small_size() -> None:
    assert set(SIZES) == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_work_of_each_row_succeeds(name: str, tmp_path: Path) -> None:
    with undrawn():
        measure(name, SIZES[name], tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["peak_mb"] > 0
