"""Entry points of installed distributions, which are read again only after a distribution was installed or removed."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Entry points of a group, of all distributions on the path.

    Reading them opens a file of every installed distribution (5 ms), and a command asks for them dozens of times.
    """
    return _read(group, tuple((folder, _changed(folder)) for folder in sys.path))


@lru_cache(maxsize=32)
def _read(group: str, folders: tuple[tuple[str, int | None], ...]) -> tuple[EntryPoint, ...]:
    # importlib.metadata takes as long to import as a small data set takes to evaluate
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


def _changed(folder: str) -> int | None:
    """Time at which the contents of a folder of the path changed, by which `importlib.metadata` lists it again, too."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return None
