"""Command of `bench`: options that take several words, and the flags that every command has."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from bench.process.interrupts import handle_signals
from metrics.errors import InputError
from metrics.standard_streams import printed_warnings

FLAG = " "
"""Metavar of an option without a value."""

SEVERAL = " ..."
"""End of the metavar of an option that takes all following words, as help shows it: ``--variant NAME ...``."""


class Command(TyperCommand):
    """A command whose options may take several words: ``--variant ssd fcos`` means ``--variant ssd --variant fcos``.

    ``--strict`` turns every `InputWarning` into an error, ``--debug`` prints tracebacks.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for argument in self.params:
            if argument.param_type_name == "argument":
                vars(argument)["display_type"] = _no_type  # typer would print <list[Path]>

    def get_help_option(self, ctx: Any) -> Any:
        return _flag(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeated = self.repeat_options(args)
        _refuse_wrong_text(repeated)
        return super().parse_args(ctx, repeated)

    def repeat_options(self, words: Sequence[str]) -> list[str]:
        """`words` with the option's name in front of each of its values.

        In a command with positional arguments, the first word that cannot be a value ends the list: one without ``=``
        after an option of ``NAME=VALUE``, one that is no number after an option of numbers.
        """
        several = {name: option for option in self.params if _takes_several(option) for name in option.opts}
        positional = any(parameter.param_type_name == "argument" for parameter in self.params)
        current: str | None = None
        has_value = False
        repeated = []
        for word in words:
            if word.startswith("-") and word != "-":
                name, equals, _ = word.partition("=")
                current, has_value = (name if name in several else None), bool(equals)
                if current is None or equals:
                    repeated.append(word)
            elif current is None or (positional and has_value and not _accepts(several[current], word)):
                current = None
                repeated.append(word)
            else:
                repeated += [current, word]
                has_value = True
        return repeated

    def invoke(self, ctx: Any) -> Any:
        in_main_thread = threading.current_thread() is threading.main_thread()
        try:
            with (
                handle_signals() if in_main_thread else nullcontext(),
                printed_warnings(ctx.params["strict"]),
            ):
                return super().invoke(ctx)
        except typer.Exit:
            raise
        except BaseException:
            if ctx.params["debug"]:
                traceback.print_exc()
            raise


class CommandGroup(TyperGroup):
    """The program: all commands, and the options before a command."""

    def get_help_option(self, ctx: Any) -> Any:
        return _flag(super().get_help_option(ctx))


def _refuse_wrong_text(words: Sequence[str]) -> None:
    """Refuse words that no option takes.

    These are an empty word, which a shell makes of an unset variable, and which as a path would mean the current folder; and
    bytes that are not UTF-8, which results cannot hold.

    Raises:
        InputError: there is one; the message has the option in front of it.
    """
    for before, word in zip(["", *words], words, strict=False):
        name, _, value = word.partition("=") if word.startswith("--") else (before, "", word)
        where = name if name.startswith("-") else "argument"
        if not value and (not word or "=" in word):
            raise InputError(f"{where}: an empty value; give one, or leave it out")
        if any("\ud800" <= char <= "\udfff" for char in word):
            raise InputError(
                f"{where}: {word!r} has bytes that are not UTF-8; write it in UTF-8, or rename the file"
            )


def _no_type(ctx: Any) -> str:
    return ""


def _flag(option: Any) -> Any:
    """`option` without a type in help, where typer would print ``<bool>``."""
    if option is not None:
        option.metavar = FLAG
    return option


def _takes_several(option: Any) -> bool:
    return str(option.metavar or "").endswith(SEVERAL) and option.param_type_name == "option"


def _accepts(option: Any, word: str) -> bool:
    return "=" in word if "=" in option.metavar else option.metavar != f"N{SEVERAL}" or word.isdigit()
