"""Absolute paths without symbolic links."""

from __future__ import annotations

import os
from pathlib import Path


def real_path(path: str | Path) -> Path:
    """The absolute path without symbolic links and ``..``; of links that lead in a circle, as far as it exists.

    `Path.resolve` raises a `RuntimeError` for such links on some versions of Python, before anybody has asked for the file.
    """
    return Path(os.path.realpath(path))
