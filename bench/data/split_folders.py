"""Folders of images that are called like a split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from metrics.formats.file_listing import is_hidden
from metrics.formats.purpose import parse_purpose

_IMAGES = ("images", "JPEGImages", "data")


def split_folders(base: Path, purpose: str | None) -> list[Path]:
    """Folders for images of a split below a folder, such as ``val2017``, ``images/valid`` and ``val/images``; none without a split.

    They are looked for before all others: images of another split may have the same names.
    """
    if purpose is None:
        return []
    inner = [folder for name in _IMAGES for folder in _folders(base / name)]
    own = [folder for folder in (*_folders(base), *inner) if parse_purpose(folder.name) == purpose]
    return [folder / name for folder in own for name in ("", *_IMAGES) if (folder / name).is_dir()]


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in a folder, sorted; none where it does not exist."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir())
        yield from (folder / name for name in names)
