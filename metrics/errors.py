"""Errors and warnings that are not bugs, and the exit code with which each of them ends a command."""

from __future__ import annotations

import errno
import os
import sys


class DetbenchError(Exception):
    """Base of the errors that a command reports in one line: where, what was wrong, and how to fix it."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per mistake."""
        return (str(self),)


class InputError(DetbenchError, ValueError):
    """An input (a file, a setting, an argument) is invalid."""

    exit_code = 2


class MachineError(DetbenchError, RuntimeError):
    """The machine lacks something that is needed: a device, disk space, a permission, memory."""

    exit_code = 3


class PartialError(DetbenchError, RuntimeError):
    """Part of the work was completed and saved; the rest failed."""

    exit_code = 4


class RegressionError(DetbenchError, RuntimeError):
    """A quality gate failed: a measure became worse than its limit allows."""

    exit_code = 5


class InputWarning(UserWarning):
    """An input looks wrong but can be used; `--strict` makes it an error."""


class InputNote(UserWarning):
    """What was guessed, made or left out while an input was read; it is shown as a note, and `--strict` accepts it."""


def of_system(error: OSError, path: object = None, failure: str = "") -> DetbenchError | None:
    """The error that a user gets for an error of the system about a file.

    Args:
        error: raised by the system or by a library.
        path: the file; that of `error` by default, or standard output if it has none.
        failure: what failed, such as ``cannot be written``.

    Returns:
        A `MachineError` for a lack of space, permissions or the like, an `InputError` for a path that cannot be one; None for
        others, such as a missing file, whose meaning only the caller knows.
    """
    if error.errno not in _REMEDIES:
        return None
    kind, remedy = _REMEDIES[error.errno]
    where = error.filename if path is None else path
    cause = error.strerror or str(error)
    cause = f"{failure} ({cause})" if failure else cause
    return kind(f"{'standard output' if where is None else where}: {cause}; {remedy}")


def of_vanished(error: BaseException) -> InputError | None:
    """The error that a user gets for a file that was there when its folder was listed, and is gone.

    Args:
        error: any error that nobody has handled.

    Returns:
        None for other errors, and for files of installed packages: those are missing by a mistake of ours.
    """
    if not isinstance(error, FileNotFoundError) or error.filename is None:
        return None
    path = os.path.abspath(os.fsdecode(error.filename))
    if path.startswith(_INSTALLED):
        return None
    return InputError(
        f"{os.fsdecode(error.filename)}: no such file or folder any more; if another process changes its folder, wait for it, "
        "then run this command again"
    )


_OURS = os.path.dirname(os.path.abspath(__file__))
_INSTALLED = tuple(
    os.path.join(folder, "")
    for folder in (
        sys.prefix,
        sys.base_prefix,
        *(
            os.path.join(os.path.dirname(_OURS), name)
            for name in ("bench", "detectors", "metrics", "reports")
        ),
    )
)
"""Folders of packages, this program's among them."""

_SPACE = "free some space or choose another folder"
_PERMISSION = "change the permissions or choose another folder"
_REMEDIES: dict[int | None, tuple[type[DetbenchError], str]] = {
    errno.ENOSPC: (MachineError, _SPACE),
    errno.EDQUOT: (MachineError, _SPACE),
    errno.EROFS: (MachineError, "choose another folder"),
    errno.EACCES: (MachineError, _PERMISSION),
    errno.EPERM: (MachineError, _PERMISSION),
    errno.EIO: (MachineError, "check the disk or choose another folder"),
    errno.EMFILE: (MachineError, "allow more open files (ulimit -n)"),
    errno.ENFILE: (MachineError, "close other programs: this system has too many open files"),
    errno.ENAMETOOLONG: (InputError, "use a shorter name or a folder nearer to the root"),
    errno.ENOTDIR: (InputError, "a part of this path is a file; choose another folder"),
    errno.EISDIR: (InputError, "this is a folder; give a file"),
    errno.ELOOP: (InputError, "its symbolic links lead in a circle; choose another path"),
}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was insufficient: of Python, NumPy and Arrow (`MemoryError`), the system, or torch.

    torch raises a class of its own for accelerators and a plain `RuntimeError` on the CPU, which only its text tells apart.
    """
    if isinstance(error, DetbenchError):
        return False
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        known = any(of.__name__ == "OutOfMemoryError" for of in type(error).__mro__)
        return known or any(text in str(error) for text in _OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


_OUT_OF_MEMORY = (
    "not enough memory: you tried to allocate",  # torch's allocator for the CPU on Windows
    "allocate memory",  # and on other systems
    "could not create a memory object",  # oneDNN
    "Storage size calculation overflowed",
    "std::bad_alloc",
    "out of memory",  # libraries of CUDA
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ended with `error`.

    - an error with an integer attribute `exit_code` (`DetbenchError`, usage errors of Typer): that code
    - `InputWarning` raised by `--strict`: 2
    - insufficient memory: 3
    - `OSError`: that of `of_system` or `of_vanished`
    - Ctrl-C: 130; closed output pipe: 141 (128 + the signal, as in a shell)
    - anything else is a bug: 1
    """
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, InputWarning):
        return InputError.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        return 141
    if is_out_of_memory(error):
        return MachineError.exit_code
    known = (of_system(error) if isinstance(error, OSError) else None) or of_vanished(error)
    if known is not None:
        return known.exit_code
    return DetbenchError.exit_code
