"""Run folders: created atomically, used by one process at a time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metrics.errors import MachineError
from reports.records.run import RunFolder


class Busy(MachineError):
    """Another process is working on this run."""


def slug(text: str) -> str:
    """`text` as part of a file name: lower-case letters, digits, ``.`` and ``_``, with a digest if characters were lost."""
    plain = re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")[:40].rstrip("-.")
    if plain == text != "":
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{plain}-{digest}" if plain else digest


def digest(cause: Any) -> str:
    """Ten hex digits that identify nested plain values, in any order of keys."""
    return hashlib.sha256(json.dumps(cause, sort_keys=True).encode()).hexdigest()[:10]


def is_done(folder: Path) -> bool:
    """Whether `folder` holds a finished run."""
    return (folder / RunFolder.RESULT).is_file()


def partial_folder(folder: Path) -> Path:
    """Folder of a run in progress that will become `folder`."""
    return folder.with_name(f"{folder.name}.partial")


def remove(folder: Path) -> None:
    """Remove a run, finished or in progress."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(partial_folder(folder), ignore_errors=True)


@contextmanager
def create_run_folder(folder: Path) -> Iterator[Path]:
    """Create a run folder: yield a partial folder, which is renamed to `folder` when the block ends without error.

    A partial folder of an earlier, failed block is used again. A folder of that name without a result is replaced.

    Raises:
        MachineError: the folder is not writable.
        Busy: another process is working on this run.
    """
    partial = partial_folder(folder)
    _make_writable(partial)
    with _locked(partial):
        yield partial
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def require_space(folder: Path, needed: int) -> None:
    """Check the free disk space before the work starts.

    Args:
        folder: output folder.
        needed: bytes.

    Raises:
        MachineError: less is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(
            f"{folder.parent}: {free / 1e6:.0f} MB free, and this run needs about {needed / 1e6:.0f}; "
            "free some space or choose another folder with --out"
        )


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise MachineError(
            f"{folder.parent}: cannot be written to ({error.strerror}); choose another folder with --out"
        ) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = folder / ".lock"
    try:
        import fcntl
    except ImportError:  # Windows: without a lock
        yield
        return
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"{folder}: another process is working on this run; wait for it, or give this one another --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
        lock.unlink(missing_ok=True)
