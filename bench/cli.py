"""Command line of `bench`: the commands, and the exit code and message of every error."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.commands import (
    anchors,
    compare,
    compress,
    config,
    data,
    decide,
    ensemble,
    evaluate,
    export,
    learning_rate,
    predict,
    profile,
    reevaluate,
    robustness,
    run,
    runs,
    suite,
    tune,
    verify,
)
from bench.commands import list as list_command
from bench.commands.command import FLAG, Command, CommandGroup
from bench.process.interrupts import Stopped
from bench.process.invocation import record_arguments
from metrics.messages import error_lines, message_line
from metrics.standard_streams import run_to_end

PROGRAM = "detbench" if Path(sys.argv[0]).stem == "detbench" else "python -m bench"
"""The installed script, which shells can complete, or the module."""

app = typer.Typer(
    name="bench",
    cls=CommandGroup,
    help="Train, tune, time and compare object detectors on your own images.\n\n"
    "Start with: python -m bench run --variant ssd",
    no_args_is_help=True,
    add_completion=PROGRAM == "detbench",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    run,
    suite,
    decide,
    data,
    tune,
    anchors,
    learning_rate,
    compare,
    predict,
    export,
    compress,
    profile,
    reevaluate,
    robustness,
    ensemble,
    evaluate,
    verify,
    runs,
    list_command,
    config,
):
    _help = re.sub(
        r"(?<!\n)\n(?!\n) *", " ", _command.command.__doc__ or ""
    )  # typer keeps line breaks in paragraphs
    app.command(_command.NAME, cls=Command, help=_help, epilog=_command.EXAMPLES)(_command.command)


def _print_version(requested: bool) -> None:
    if requested:
        try:
            print(f"detbench {version('detbench')}")
        except PackageNotFoundError:
            print("detbench (not installed)")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, metavar=FLAG, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done. 1: a bug in this program. 2: invalid input. 3: the machine lacks something (a device, memory, disk space).
    4: only part of the work was done. 5: a gate failed: ``compare --fail-on-regression``,
    ``data --strict``, or ``verify``. 130 and 143: stopped by
    SIGINT and SIGTERM. An error is one line per mistake on standard error; ``--debug`` adds the traceback.

    Args:
        arguments: words after the program's name; those of this process by default.
    """
    words = [*sys.argv[1:]] if arguments is None else [*arguments]
    _prepare_matplotlib()

    def work() -> int:
        try:
            with record_arguments(words):
                code = program()(args=words, standalone_mode=False, prog_name=PROGRAM)
        except typer.Abort:  # Ctrl-C at a prompt
            raise KeyboardInterrupt from None
        return code if isinstance(code, int) else 0

    return run_to_end(work, _lines)


@cache
def program() -> Any:
    """All commands with their options; `app` itself would make them again for every command line, in 50 ms."""
    return typer.main.get_command(app)


def _lines(error: BaseException) -> list[str]:
    """What was wrong and how to fix it, one line per mistake."""
    if isinstance(error, Stopped):
        return [message_line(error)]
    if isinstance(error, _USAGE_ERROR):
        return [message_line(" ".join(error.format_message().split()))]  # type: ignore[attr-defined]
    return error_lines(error)


_USAGE_ERROR = typer.BadParameter.__mro__[2]
"""Base class of usage errors; which module defines it depends on the version of typer."""


def _prepare_matplotlib() -> None:
    """Draw without a display, and cache fonts in a temporary folder if the home folder is not writable."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    if "MPLCONFIGDIR" not in os.environ:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        nearest = next((folder for folder in (home, *home.parents) if folder.exists()), home)
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="detbench-matplotlib-")
