"""Runs and pages that several tests look at; made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_runs import comparison_in, picture
from undrawn import undrawn

from reports.pages import write_report
from reports.records.run import RunFolder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """Three models under two seeds on sixteen images; retinanet and fcos are near each other, ssd is behind."""
    return comparison_in(tmp_path_factory.mktemp("runs"), images=16)


@pytest.fixture(scope="session")
def page(runs: list[RunFolder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their page, with pictures."""
    truth = runs[0].truth
    return write_report(runs, tmp_path_factory.mktemp("page"), lambda image: picture(truth, image))


@pytest.fixture
def no_drawing() -> Iterator[None]:
    """Figures whose axes are empty, for tests that look at the rest of the page."""
    with undrawn():
        yield
