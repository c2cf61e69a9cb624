"""Locked files: each is held by at most one process, and released by the system however that process ends."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from metrics.errors import MachineError


class Owner(NamedTuple):
    """The process that holds a lock.

    Attributes:
        pid: process id; 0 if it is unknown.
        host: name of its machine.
        started: time at which it took the lock, ISO 8601 in UTC.
    """

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid}{where} (since {self.started})"


class LockHeld(MachineError):
    """Another process, `owner`, holds the lock `path`."""

    def __init__(self, path: Path, owner: Owner) -> None:
        super().__init__(self._message(path, owner))
        self.path = path
        self.owner = owner

    def _message(self, path: Path, owner: Owner) -> str:
        return f"{path}: held by {owner}"

    def __reduce__(self) -> tuple[type[LockHeld], tuple[Path, Owner]]:
        return type(self), (self.path, self.owner)


def try_lock(descriptor: int, *, shared: bool = False) -> bool | None:
    """Lock an open file without waiting.

    Args:
        descriptor: of the file.
        shared: share the lock with other processes that share it.

    Returns:
        True if this process holds it now, False if another does, None if the system or the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock `path` while the block runs; the file stays, and records its owner.

    Without locks in the file system, the block runs all the same.

    Raises:
        LockHeld: another process holds it.
        OSError: the file cannot be written.
    """
    with _open_locked(path) as descriptor:
        owner = Owner(os.getpid(), socket.gethostname(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner._asdict()).encode(), 0)
        yield


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock `path`; None if there is no such file, or no locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        locked = try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)
    return None if locked is None else not locked


def owner_of(path: Path) -> Owner:
    """The process that last took the lock `path`; a `pid` of 0 if the file does not tell."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Owner(0, "", "")


@contextmanager
def _open_locked(path: Path) -> Iterator[int]:
    """An open and locked file that still has this path."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock_patiently(descriptor):
                raise LockHeld(path, owner_of(path))
            # The previous owner may have moved or removed the file between the two calls above.
            if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
                continue
            yield descriptor
            return
        finally:
            os.close(descriptor)


def _lock_patiently(descriptor: int) -> bool:
    """Lock a file; False if another process holds it for longer than `is_held` does."""
    for pause in (0.02, 0.1, 0.0):
        if try_lock(descriptor) is not False:
            return True
        time.sleep(pause)
    return False
