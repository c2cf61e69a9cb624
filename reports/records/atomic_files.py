"""Files that are whole or absent: whoever is stopped half-way leaves the last good one, or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from metrics.errors import MachineError


def atomic_write(path: Path, content: bytes | str) -> Path:
    r"""Write `content` to `path` so that no reader ever meets half of it.

    The bytes go to a temporary file beside `path`, are forced to the disk, and take its name in one step. Text is
    UTF-8 with ``\n`` on every system. The folder is made where it is missing.

    Raises:
        MachineError: the disk is full, or may not be written to; what stood at `path` stands there still.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    return atomic_write_by(path, write)


def atomic_write_by(path: Path, write: Callable[[Path], object]) -> Path:
    """Like `atomic_write`, for a library that wants to write the file itself.

    Args:
        path: where the file shall stand.
        write: given a path in the same folder and with the same ending, writes the file there.
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
    # The mask can only be read by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # A new name is on the disk only when its folder is; Windows has no way to say so and needs none.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
