"""Runs and pages that several tests look at; made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_runs import comparison_in, picture

from reports.elements import matplotlib_figure
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
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures without their PNG, which takes the longest and is the same code for all."""
    monkeypatch.setattr(matplotlib_figure, "_png", lambda canvas: b"")


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures whose axes are empty, for tests that look at the rest of the page."""
    empty = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 380 280"/>'
    monkeypatch.setattr(matplotlib_figure, "_drawn", lambda slug, width, height, draw: (empty, b""))
