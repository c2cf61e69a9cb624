"""Warnings of the libraries that read images, which are ignored while they read."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MODULES = r"PIL\b|torchvision\.io\b"

_lock = threading.Lock()
_inside = 0
_ours: list[Any] = []


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Ignore the warnings of Pillow and torchvision's readers: of large images, unusual EXIF data and palettes, deprecation.

    Any number of threads may be inside at once, and all other warnings are shown as usual. `warnings.catch_warnings` is not meant
    for threads: each restores the filters that it found, those of another thread among them, so that later notes are lost.
    """
    global _inside
    with _lock:
        _inside += 1
        if not any(entry is filter_ for entry in _ours for filter_ in warnings.filters):
            warnings.filterwarnings("ignore", module=_MODULES)
            _ours.append(warnings.filters[0])
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                filters: Any = warnings.filters
                filters[:] = [each for each in filters if not any(each is entry for entry in _ours)]
                _ours.clear()
