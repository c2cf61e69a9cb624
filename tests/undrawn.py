"""Pages without drawings, for tests that look at anything else: drawing takes most of the time of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 380 280"/>'


@contextmanager
def undrawn() -> Iterator[None]:
    """Let every figure be empty, in this process."""
    from reports.elements import matplotlib_figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matplotlib_figure, "_svg", lambda slug, width, height, draw: EMPTY)
        yield
