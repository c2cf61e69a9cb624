"""Pages of commands are written without drawings, except in modules with the mark `draws`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from undrawn import undrawn


@pytest.fixture(scope="module", autouse=True)
def no_drawing_of_pages(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty figures, also for the module's own fixtures."""
    with nullcontext() if request.node.get_closest_marker("draws") else undrawn():
        yield


@pytest.fixture(scope="module")
def no_pages() -> Iterator[None]:
    """Pages are not written, where a test is not about them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.pages.write_report", lambda *args, **settings: None)
        patch.setattr(
            "reports.pages.write_comparison", lambda data, folder, **settings: folder / "report.html"
        )
        yield
