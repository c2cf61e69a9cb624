"""Atomic writing of files: an interrupted write leaves the previous file, or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from metrics.errors import MachineError


def atomic_write(path: Path, content: bytes | str) -> Path:
    r"""Write `content` to `path` atomically.

    The content goes to a temporary file in the same folder, which is synced to disk and then renamed. Text is UTF-8 with
    line ends ``\n`` on every system. The folder is created if missing.

    Raises:
        MachineError: the disk is full or not writable; an existing file is kept.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    return atomic_write_by(path, write)


def atomic_write_by(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file atomically with a function that writes to a given path; see `atomic_write`.

    Args:
        path: of the file.
        write: writes the file to a temporary path in the same folder with the same suffix.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"{path}: could not be written ({reason}); free some space or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # The new name is durable only after the folder is synced, which Windows neither supports nor needs.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
