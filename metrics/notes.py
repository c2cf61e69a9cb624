"""Notes: remarks on a result as data, so that other code can read what kind they are without parsing their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on a result.

    Attributes:
        kind: what the note is about, a stable identifier such as ``few_images``. Code tests this, never `text`.
        text: the sentence that a person reads, without a final full stop.
        subject: the name of what it concerns (a model, a class, a column); empty for the whole result.
        values: the numbers in the sentence, by name.
    """

    kind: str
    text: str
    subject: str = ""
    values: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text
