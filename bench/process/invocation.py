"""Arguments of the running command, which its results record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


@contextmanager
def record_arguments(arguments: Sequence[str]) -> Iterator[None]:
    """Make `command_arguments` return `arguments` inside the block."""
    token = _ARGUMENTS.set(tuple(arguments))
    try:
        yield
    finally:
        _ARGUMENTS.reset(token)


def command_arguments() -> tuple[str, ...]:
    """Command-line arguments; empty if not called from the command line."""
    return _ARGUMENTS.get()
