"""What can go wrong that is not our fault: each kind of error, and the exit code it ends a command with."""

from __future__ import annotations


class DetbenchError(Exception):
    """An error to be told in one line: where, what was wrong, and the mend."""

    exit_code = 1


class InputError(DetbenchError, ValueError):
    """Something that was given (a file, a setting, an argument) cannot be used as it is."""

    exit_code = 2


class MachineError(DetbenchError, RuntimeError):
    """The machine lacks what was asked for: a device, disk space, permission, memory."""

    exit_code = 3


class PartialError(DetbenchError, RuntimeError):
    """Some of the work was done and saved; the rest was not."""

    exit_code = 4


class RegressionError(DetbenchError, RuntimeError):
    """A gate was asked for, and what it guards became worse."""

    exit_code = 5


class InputWarning(UserWarning):
    """Something given looks wrong but can be used; `--strict` makes it an `InputError`."""
