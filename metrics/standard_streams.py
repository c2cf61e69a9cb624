"""Standard output and error of a command: no finished work is lost for a character, a closed pipe or a full disk."""

from __future__ import annotations

import codecs
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from metrics.errors import InputNote, InputWarning, exit_code
from metrics.messages import error_lines, message_line

_REPLACEMENT = "detbench.replace"
"""Name of the handler of characters that the encoding of a stream lacks."""


def run_to_end(
    work: Callable[[], int], lines: Callable[[BaseException], list[str]] = error_lines, trace: bool = False
) -> int:
    """Call `work` and flush its output; report an error on standard error.

    Characters that the encoding of a stream lacks are replaced: minus signs and dashes by a hyphen, others by ``?``. A closed pipe
    (``| head``) ends the command silently.

    Args:
        work: returns an exit code.
        lines: what to print about an error, one line per mistake.
        trace: print the traceback before these lines.

    Returns:
        The exit code of `work`, or `metrics.errors.exit_code` of the error that it raised.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_REPLACEMENT)
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BaseException as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich turns it into SystemExit
            error = error.__context__
        _discard_unwritten(error)
        if not isinstance(error, BrokenPipeError | SystemExit):
            with suppress(OSError):
                if trace:
                    traceback.print_exception(error)
                print(*(f"error: {line}" for line in lines(error)), sep="\n", file=sys.stderr, flush=True)
        return exit_code(error)


@contextmanager
def printed_warnings(strict: bool) -> Iterator[None]:
    """Print each warning of the block once, as one line on standard error.

    A warning of another library, of which a user is not the author, is a note with the library's name.

    Args:
        strict: raise each `InputWarning` as an error; an `InputNote` never is.
    """
    printed = set()

    def show(
        message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object
    ) -> None:
        kind = "warning" if issubclass(category, InputWarning) else "note"
        ours = issubclass(category, InputWarning | InputNote)
        line = message_line(f"{kind}: {'' if ours else f'{_package(filename)}: '}{message}")
        if line not in printed:
            printed.add(line)
            with suppress(OSError):
                print(line, file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", InputWarning)
        warnings.simplefilter("always", InputNote)
        warnings.showwarning = show
        yield


_ASCII = dict.fromkeys("−–—", "-")
"""Characters in place of those that an encoding lacks."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Handler of encoding errors. A sign that became ``?`` would change a number."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_ASCII.get(char, "?") for char in lacking), error.end


codecs.register_error(_REPLACEMENT, _replace)


def _package(filename: str) -> str:
    """Name of the package that a source file belongs to; the file's own name if it is not an installed one."""
    parts = Path(filename).parts
    if "site-packages" in parts[:-1]:
        return Path(parts[len(parts) - parts[::-1].index("site-packages")]).stem
    return Path(filename).name


def _discard_unwritten(error: BaseException) -> None:
    """If standard output has failed, send what is left to nowhere: Python would fail on it again at exit."""
    if not isinstance(error, OSError):
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
