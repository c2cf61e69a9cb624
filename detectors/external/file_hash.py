"""SHA-256 of files and folders, which identifies models and detections by their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from metrics.errors import InputError


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hex digits; it is only read again after it has changed.

    Raises:
        InputError: it cannot be read.
    """
    try:
        known = path.stat()
        return _sha256(path, known.st_mtime_ns, known.st_size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def content_sha256(path: Path, patterns: Sequence[str] = ("*",)) -> str:
    """Hex digits of the SHA-256 of a file; of a folder that of the names and contents of its files.

    Args:
        path: a file or a folder.
        patterns: of the files of a folder that count, at any depth.
    """
    if path.is_file():
        return file_sha256(path)
    files = {file for pattern in patterns for file in path.rglob(pattern) if file.is_file()}
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(f"{file.relative_to(path).as_posix()} {file_sha256(file)}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=64)
def _sha256(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
