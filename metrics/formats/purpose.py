"""The split that the name of a file or folder stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PURPOSES = {
    "train": "train",
    "training": "train",
    "trainval": "trainval",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def is_purpose(name: str) -> bool:
    """Whether a name is a word for a split and nothing else: ``Validation``, but not ``cat_val``."""
    return name.lower() in _PURPOSES


def parse_purpose(name: str) -> str | None:
    """Split that the name of a file or folder stands for: ``train``, ``val``, ``test``, ``trainval`` or None.

    For example train for ``instances_train2017``, val for ``valid``, test for ``test-dev``.
    """
    words = [_PURPOSES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _PURPOSES]
    for candidate in ("test", "trainval", "train", "val"):
        if candidate in words:
            return candidate
    return None


def folder_purpose(folders: Iterable[str]) -> str | None:
    """The split that the first of some folders stands for that stands for any."""
    return next((found for folder in folders if (found := parse_purpose(folder))), None)
