"""Digests of the contents of image files, read in parallel and remembered until a file changes."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from metrics.errors import InputError

DIGEST_BYTES = 16

_SETTLED_NS = 2_000_000_000
"""A file that was changed within so many nanoseconds may change again without another time stamp (FAT: two seconds)."""


_CHUNK = 64
"""Files of one task of a thread."""

T = TypeVar("T")


class FileState(NamedTuple):
    """What changes when a file is written: size in bytes, time of the change in nanoseconds, inode."""

    size: int
    mtime_ns: int
    inode: int


def content_digests(paths: Sequence[Path], cache: Path | None = None) -> list[bytes]:
    """BLAKE2b digest of the content of each file.

    A digest is stored with the file's path and `FileState`, and is reused while these are unchanged. Files that were changed
    in the last two seconds are always read.

    Args:
        paths: of the files.
        cache: SQLite file of the stored digests; by default in the user's cache folder. It may be missing, damaged or not
            writable: then the files are read.

    Returns:
        `DIGEST_BYTES` bytes for each path.

    Raises:
        InputError: a file cannot be read.
    """
    cache = cache or _default_cache()
    keys = [os.path.abspath(path) for path in paths]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        states = _map_in_chunks(pool, _state, paths)
        with _Stored.open(cache) as stored:
            known = stored.read(dict(zip(keys, states, strict=True)))
            unknown = [i for i, key in enumerate(keys) if key not in known]
            digests = _map_in_chunks(pool, _digest, [paths[i] for i in unknown])
            read = dict(zip(unknown, digests, strict=True))
            settled = time.time_ns() - _SETTLED_NS
            stored.write({keys[i]: (states[i], read[i]) for i in unknown if states[i].mtime_ns < settled})
    return [read[i] if i in read else known[key] for i, key in enumerate(keys)]


def _map_in_chunks(pool: ThreadPoolExecutor, function: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """`function` of each path; handing over a task costs more than a small file."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    return [
        result for results in pool.map(lambda chunk: list(map(function, chunk)), chunks) for result in results
    ]


class _Stored:
    """Stored digests; without a connection, none."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[_Stored]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=5)
        except (OSError, sqlite3.Error):
            yield cls(None)
            return
        with closing(connection):
            yield cls(connection)

    def read(self, states: Mapping[str, FileState]) -> dict[str, bytes]:
        """Digests of the files that have not changed."""
        if self._connection is None:
            return {}
        known = {}
        with suppress(sqlite3.Error):
            self._connection.execute(_TABLE)
            for path, state in states.items():
                row = self._connection.execute(_SELECT, (path, *state)).fetchone()
                if row is not None:
                    known[path] = row[0]
        return known

    def write(self, digests: Mapping[str, tuple[FileState, bytes]]) -> None:
        if self._connection is not None and digests:
            rows = [(path, *state, digest) for path, (state, digest) in digests.items()]
            with suppress(sqlite3.Error), self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)


_TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, mtime_ns INT, inode INT, digest BLOB)"
)
_SELECT = "SELECT digest FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?"


def _state(path: Path) -> FileState:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, _blake2b).digest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _blake2b() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def _default_cache() -> Path:
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return user / "detbench" / "contents.sqlite"
