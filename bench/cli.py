"""The command line: which commands there are, and how whatever goes wrong in one ends it."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from bench.commands import anchors, compare, config, ensemble, evaluate, listing, profile, run, tune
from bench.process.interrupts import Stopped, listening
from bench.process.invocation import record_arguments
from metrics.errors import DetbenchError, InputError, InputWarning

GATE = "--fail-on-regression"
"""The option after whose values runs may follow."""

SEVERAL = ("--variant", "--set", "--space", "--objective", "--limit", GATE, "--batch")
"""Options that take all the words that follow, up to the next option."""

_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE}

app = typer.Typer(
    name="bench",
    help="Decide which object detector to trust: train, evaluate and compare detectors on your own images.\n\n"
    "Begin with: python -m bench run --variant ssd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (run, tune, anchors, compare, profile, ensemble, evaluate, listing, config):
    app.command(_command.NAME, epilog=_command.EXAMPLES)(_command.command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 done; 1 a fault of this program; 2 something given cannot be used; 3 the machine lacks something; 4 part of
    the work is done; 5 a gate (``compare --fail-on-regression``) was not passed; 130 and 143 stopped by SIGINT and SIGTERM. But for 1, the reason is one line on standard
    error, and ``--debug`` shows the place, too.

    Args:
        arguments: what follows the program's name; by default that of this process.
    """
    words = [*sys.argv[1:]] if arguments is None else [*arguments]
    debug = "--debug" in words
    _prepare_matplotlib()
    try:
        with record_arguments(words), _signals(), _warnings(strict="--strict" in words):
            code = app(args=each_with_its_option(words), standalone_mode=False, prog_name="python -m bench")
        return code if isinstance(code, int) else 0
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            traceback.print_exc()
        return _ended_by(error)


def each_with_its_option(words: Sequence[str]) -> list[str]:
    """``--variant ssd fcos`` as ``--variant ssd --variant fcos``, for the options in `SEVERAL`.

    Where runs may follow (`GATE`), what is no ``name=value`` ends the values.
    """
    several: str | None = None
    spelled = []
    given = False  # whether the option has a value
    for word in words:
        if word.startswith("-") and word != "-":
            option, equals, _ = word.partition("=")
            several, given = (option if option in SEVERAL else None), bool(equals)
            if several is None or equals:
                spelled.append(word)
        elif several is not None and not (several == GATE and given and "=" not in word):
            spelled += [several, word]
            given = True
        else:
            several = None
            spelled.append(word)
    return spelled


def _ended_by(error: BaseException) -> int:
    """Say in one line why a command ended, and the exit code for it."""
    # typer carries its own copy of click in some versions: its exceptions are known by this base.
    usage = typer.BadParameter.__mro__[2]
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, DetbenchError):
        return _say(str(error), error.exit_code)
    if isinstance(error, InputWarning):
        return _say(f"{error} (--strict)", InputError.exit_code)
    if isinstance(error, usage):
        text = error.format_message().replace("\n", " ")  # type: ignore[attr-defined]
        return _say(text, InputError.exit_code)
    if isinstance(error, Stopped):
        return _say(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _say("stopped", 130)
    if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if isinstance(error, OSError) and error.errno in _MACHINE:
        return _say(
            f"{error.filename or 'a file'}: {error.strerror}; free some space or choose another folder", 3
        )
    if isinstance(error, MemoryError):
        return _say("out of memory; lower train.batch, evaluate.batch or image.size", 3)
    return _say(f"a fault of this program: {type(error).__name__}: {error}; --debug shows where", 1)


def _say(text: str, code: int) -> int:
    for line in text.split("\n"):
        sys.stderr.write(f"error: {line}\n")
    return code


@contextmanager
def _signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with listening() as request:
        run.STOP = request
        yield


@contextmanager
def _warnings(strict: bool) -> Iterator[None]:
    """Show an `InputWarning` as one line, once; with `strict`, raise it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "default", InputWarning)
        show = warnings.showwarning

        def line(message: Warning | str, category: type[Warning], *place: Any, **further: Any) -> None:
            if issubclass(category, InputWarning):
                sys.stderr.write(f"warning: {message}\n")
            else:
                show(message, category, *place, **further)

        warnings.showwarning = line
        yield


def _prepare_matplotlib() -> None:
    """No display is needed, and where the home may not be written to, a temporary folder holds the fonts' cache."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    if "MPLCONFIGDIR" not in os.environ:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        nearest = next((folder for folder in (home, *home.parents) if folder.exists()), home)
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="detbench-matplotlib-")
