"""Standard output and error of a command: no finished work is lost for a character, a closed pipe or a full disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper

from metrics.errors import exit_code


def run_to_end(work: Callable[[], int], message: Callable[[BaseException], str]) -> int:
    """Call `work` and flush its output; report an error on standard error.

    Characters that the encoding of a stream lacks are replaced by ``?``. A closed pipe (``| head``) ends the command silently.

    Args:
        work: returns an exit code.
        message: what to print about an error, one line per mistake; nothing if empty.

    Returns:
        The exit code of `work`, or `metrics.errors.exit_code` of the error that it raised.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BaseException as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich turns it into SystemExit
            error = error.__context__
        _discard_unwritten(error)
        if not isinstance(error, BrokenPipeError):
            text = message(error)
            with suppress(OSError):
                print(text, end="\n" if text else "", file=sys.stderr, flush=True)
        return exit_code(error)


def _discard_unwritten(error: BaseException) -> None:
    """If standard output has failed, send what is left to nowhere: Python would fail on it again at exit."""
    if not isinstance(error, OSError):
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
