"""What a killed process leaves on disk, for a kill before each of its file operations."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OPERATIONS = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "open", "fsync", "ftruncate")
"""Functions of `os` that create, rename, remove or sync files; Path, tempfile and shutil call them."""


def states_after_kills(folder: Path, work: Callable[[], object], copies: Path) -> list[Path]:
    """The different states of a folder that a kill of `work` can leave.

    A kill before a file operation leaves the files as they are then: what is still in buffers of the process is lost, and is
    not in a copy either.

    Args:
        folder: that `work` writes to.
        work: is done once, in this process.
        copies: folder for the copies of `folder`.

    Returns:
        Copies of `folder` before the file operations of `work`, in order, and after its end; without equal ones.
    """
    states: dict[str, Path] = {}

    def keep() -> None:
        state = hashlib.sha256(repr(sorted(contents(folder).items())).encode()).hexdigest()
        if state not in states:
            states[state] = copies / f"{len(states):03}"
            with _unwatched():
                shutil.copytree(folder, states[state])

    with _before_each_operation(folder, keep):
        work()
    keep()
    return list(states.values())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


_watching = True


@contextmanager
def _unwatched() -> Iterator[None]:
    global _watching
    _watching = False
    try:
        yield
    finally:
        _watching = True


@contextmanager
def _before_each_operation(folder: Path, call: Callable[[], object]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            original = getattr(os, name)

            def wrapped(*args: object, _original: Callable = original, **kwargs: object) -> object:
                if _watching:
                    call()
                return _original(*args, **kwargs)

            patch.setattr(os, name, wrapped)
        yield
