"""Run folders: created atomically, used by one process at a time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.process.locks import LockHeld, Owner, hold
from metrics.atomic_files import remove_unfinished
from metrics.errors import MachineError
from reports.records.run import RunFolder

LOCK = ".lock"
"""Name of the lock in a partial folder."""

CHECKPOINT = "checkpoint"
"""Name of the folder of the last state of a training in a partial folder."""

_PARTIAL = ".partial"


class Busy(LockHeld):
    """Another process, `owner`, is working on the run with the partial folder `path`."""

    def _message(self, path: Path, owner: Owner) -> str:
        return f"{path}: {owner} is working on this run; wait for it, or choose another folder with --out"


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
    return folder.with_name(folder.name + _PARTIAL)


def is_partial(folder: Path) -> bool:
    """Whether this is the folder of a run in progress, whether or not a process works on it now."""
    return folder.name.endswith(_PARTIAL)


@contextmanager
def create_run_folder(folder: Path, replace: bool = False) -> Iterator[Path | None]:
    """Create a run folder: yield a partial folder, which is renamed to `folder` when the block ends without error.

    A partial folder of an earlier, failed block is used again, without the files that it was writing. A folder of that name
    without a result is replaced.

    Args:
        folder: of the run.
        replace: remove earlier work, finished or partial, as soon as no other process works on it.

    Yields:
        The partial folder; None if the run is finished.

    Raises:
        MachineError: the folder is not writable.
        Busy: another process is working on this run.
    """
    partial = partial_folder(folder)
    with _claimed(partial):
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
            for item in partial.iterdir():
                if item.name != LOCK:
                    _remove(item)
        if is_done(folder):
            yield None
            shutil.rmtree(partial, ignore_errors=True)
            return
        remove_unfinished(partial)
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
        (folder / LOCK).unlink(missing_ok=True)  # held until here: until then, others see a run in progress


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
def _claimed(partial: Path) -> Iterator[None]:
    """Make a partial folder, and hold its lock."""
    with ExitStack() as stack:
        while True:
            _make_writable(partial)
            try:
                stack.enter_context(hold(partial / LOCK))
                break
            except LockHeld as held:
                raise Busy(partial, held.owner) from None
            except FileNotFoundError:  # another process has just finished, and renamed the folder
                continue
        yield


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
