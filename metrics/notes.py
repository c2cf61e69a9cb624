"""Notes: remarks on a result or an input as data, so that other code can read their kind without parsing their text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from metrics.errors import InputNote, InputWarning


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on a result or an input.

    Attributes:
        kind: what the note is about, a stable identifier such as ``few_images``. Code tests this, never `text`.
        text: the sentence that a person reads, without a final full stop.
        subject: the name of what it concerns (a model, a class, a file); empty for the whole result.
        values: the numbers in the sentence, by name.
        items: names of what it concerns, such as files; all of them where it is known.
    """

    kind: str
    text: str
    subject: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    items: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


def report(note: Note, category: type[InputNote | InputWarning] = InputNote, stacklevel: int = 2) -> None:
    """Issue a note as a warning of Python, which commands print in one line.

    Args:
        note: what was guessed or left out.
        category: `InputNote` for a decision, `InputWarning` for what is probably a mistake in the input.
        stacklevel: 2 for the caller, as in `warnings.warn`.
    """
    warnings.warn(category(note), stacklevel=stacklevel + 1)


def note_of(message: Warning | str) -> Note:
    """The note that a warning carries; of a plain warning a note of the kind ``warning`` with its text."""
    content = message.args[0] if isinstance(message, Warning) and message.args else message
    return content if isinstance(content, Note) else Note("warning", str(message))
