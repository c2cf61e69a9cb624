"""Atomic writing of files and folders: an interrupted write leaves the previous file, or none."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from metrics.errors import DetbenchError, InputError, MachineError, of_system
from metrics.messages import reason


def atomic_write(path: str | Path, content: bytes | str) -> Path:
    r"""Write `content` to `path` atomically.

    The content goes to a temporary file in the same folder, which is synced to disk and then renamed. Text is UTF-8 with
    line ends ``\n`` on every system. The folder is created if missing.

    Raises:
        MachineError: the disk is full or not writable; an existing file is kept.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    return atomic_write_by(Path(path), write)


def atomic_write_together(files: Mapping[Path, bytes | str], last: Path, content: bytes | str) -> Path:
    """Write files that belong together and then the file `last`, which refers to them.

    All are written and synced under temporary names first, so that a full disk is detected before anything changes. Then
    `last` is removed, the others are renamed, and `last` is renamed. An interrupted call leaves the previous files or no
    `last`: never an old one next to new files.

    Args:
        files: content by path; text is UTF-8.
        last: the file that is renamed at the end.
        content: of `last`.

    Raises:
        MachineError: the disk is full or not writable; existing files are kept.
    """
    everything = {**files, last: content}
    for folder in dict.fromkeys(path.parent for path in everything):
        remove_abandoned(folder)
    temporary: dict[Path, Path] = {}
    try:
        for path, data in everything.items():
            with _reported(path):
                temporary[path] = _temporary(path)
                temporary[path].write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
                _complete(temporary[path])
        with _reported(last):
            last.unlink(missing_ok=True)
            _sync_folder(last.parent)
        for path in everything:
            with _reported(path):
                os.replace(temporary[path], path)
                del temporary[path]
        for folder in dict.fromkeys(path.parent for path in everything):
            _sync_folder(folder)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    return last


def atomic_write_by(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file atomically with a function that writes to a given path; see `atomic_write`.

    Args:
        path: of the file.
        write: writes the file to a temporary path in the same folder with the same suffix.

    A device, pipe or socket, such as ``/dev/stdout``, gets the content; it is not replaced by a file.
    """
    if _is_no_file(path):
        with _reported(path), tempfile.TemporaryDirectory() as folder:
            content = Path(folder) / f"content{path.suffix}"
            write(content)
            with content.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return path
    temporary: Path | None = None
    try:
        with _reported(path):
            temporary = _temporary(path)
            write(temporary)
            _complete(temporary)
            os.replace(temporary, path)
            temporary = None
            _sync_folder(path.parent)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder that gets the name `path` when the block ends, with all that was written into it.

    It is beside `path` until then, and is removed if the block raises. Abandoned folders of killed processes are removed.

    Args:
        path: does not exist, or is an empty folder.

    Raises:
        MachineError: the disk is full or not writable, as any `OSError` in the block says.
    """
    with _reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{_PREFIX}{_host()}-{os.getpid()}-"))
    try:
        with _reported(path):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if hasattr(os, "sync"):
                os.sync()  # faster than to sync each of many files
            if path.is_dir():
                path.rmdir()
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what interrupted writes left at every depth of a folder that no other process writes to."""
    for path in sorted(folder.rglob(f"{_PREFIX}*")):
        _remove(path)


def remove_abandoned(folder: Path) -> None:
    """Remove what writes of ended processes of this machine left in a folder that several processes may write to."""
    for path in folder.glob(f"{_PREFIX}{_host()}-*"):
        pid = path.name.removeprefix(f"{_PREFIX}{_host()}-").partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            _remove(path)


_PREFIX = ".writing-"
"""Start of the names of temporary files and folders: then the machine and the process that writes, and random letters."""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A new, empty file next to `path`, with its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{_PREFIX}{_host()}-{os.getpid()}-"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    os.close(handle)
    return Path(name)


def _complete(temporary: Path) -> None:
    """Give a temporary file the permissions of a new file, and sync it to disk."""
    temporary.chmod(0o666 & ~_umask())
    with temporary.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn system errors into an error about `path`."""
    try:
        yield
    except OSError as error:
        raise _not_written(path, error) from error


def require_writable(path: Path, option: str, *, folder: bool) -> None:
    """Check, before long work begins, that a file or folder can be written; nothing is left behind.

    Args:
        path: a file, or a folder for files; it need not exist yet.
        option: that named it, for the message.
        folder: whether it is a folder.

    Raises:
        InputError: the path is too long, or a part of it is a file, or a link that leads nowhere.
        MachineError: the disk is full or read-only, or this user may not write there.
    """
    if not folder and _is_no_file(path) and os.access(path, os.W_OK):
        return
    try:
        if path.is_dir() is not folder and path.exists():
            code = errno.ENOTDIR if folder else errno.EISDIR
            raise OSError(code, os.strerror(code))
        nearest = path if folder else path.parent
        while not nearest.exists() and nearest != nearest.parent:
            if nearest.is_symlink():
                raise InputError(
                    f"{option} {path}: {nearest} is a link to nothing, or in a circle; choose another folder"
                )
            nearest = nearest.parent
        absolute = Path(os.path.abspath(path))
        name = max((len(os.fsencode(part)) for part in absolute.parts), default=0)
        if name > _NAME_BYTES or len(os.fsencode(absolute)) > _PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=_PREFIX):
            pass
    except OSError as error:
        raise _not_written(f"{option} {path}", error) from None


def _not_written(path: object, error: OSError) -> DetbenchError:
    """The error for a file that cannot be written."""
    known = of_system(error, path, "cannot be written")
    if known is not None:
        return known
    # Libraries that write tensors report a full disk without a number of the system.
    return MachineError(
        f"{path}: cannot be written ({error.strerror or reason(error)}); free some space or choose another folder"
    )


def _is_no_file(path: Path) -> bool:
    """Whether something is there that a file must not replace: a device, pipe or socket, or a link of the system to one."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    of_system = re.match(r"/(?:dev|proc)/(?!shm/)", os.path.abspath(path)) is not None and not stat.S_ISDIR(
        mode
    )
    return of_system or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


_NAME_BYTES = 255 if os.name == "posix" else 200
_PATH_BYTES = 3500 if os.name == "posix" else 200
"""Longest name, and longest path below which there is room for the names of runs and their files."""


def _host() -> str:
    """Name of this machine as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]", "", platform.node())[:24]


def _is_alive(pid: int) -> bool:
    if os.name != "posix":  # os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


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
