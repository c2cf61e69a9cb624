"""What the user typed, for the results of the command that it started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_WORDS: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


@contextmanager
def typed(words: Sequence[str]) -> Iterator[None]:
    """Within this, `typed_words` gives `words`."""
    token = _WORDS.set(tuple(words))
    try:
        yield
    finally:
        _WORDS.reset(token)


def typed_words() -> tuple[str, ...]:
    """The words that followed the program's name; none outside of a command."""
    return _WORDS.get()
