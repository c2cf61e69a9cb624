"""Errors and warnings that are not bugs, and the exit code with which each of them ends a command."""

from __future__ import annotations

import errno


class DetbenchError(Exception):
    """Base of the errors that a command reports in one line: where, what was wrong, and how to fix it."""

    exit_code = 1


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


_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE,
)  # fmt: skip


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
    "std::bad_alloc",
    "out of memory",  # libraries of CUDA
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ended with `error`.

    - an error with an integer attribute `exit_code` (`DetbenchError`, usage errors of Typer): that code
    - `InputWarning` raised by `--strict`: 2
    - insufficient memory, and `OSError` caused by the disk or by permissions: 3
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
    if is_out_of_memory(error) or (isinstance(error, OSError) and error.errno in _MACHINE):
        return MachineError.exit_code
    return DetbenchError.exit_code
