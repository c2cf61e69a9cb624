"""Valid files of JSON and YAML in which one value after the other has another type, or is missing, and what every reader does with them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from fuzzed import Target, limited

from metrics.errors import InputError

OTHERS: tuple[Any, ...] = ([], ["a"], {}, {"a": 1}, "a", 1, -0.5, True, None)
"""One value of each type, empty and not."""

MISSING = object()
"""Stands for no value: the key or the item is removed."""

Place = tuple[str | int, ...]


def places(document: Any, place: Place = ()) -> Iterator[Place]:
    """Where the values of a document are; of a list, its first two items."""
    yield place
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document[:2])
    for key, value in items:
        yield from places(value, (*place, key))


def replaced(document: Any, place: Place, value: Any) -> Any:
    """A copy of the document with another value at one place."""
    if not place:
        return value
    changed = copy.deepcopy(document)
    at = changed
    for key in place[:-1]:
        at = at[key]
    if value is MISSING:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return changed


def parsed(file: Path) -> tuple[Any, str] | None:
    """The document in a file of JSON or YAML, or the JSON in its first line, and the text after it; None for other files."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yaml", ".yml"):
            return yaml.safe_load(text), ""  # JSON is YAML
        first, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None
    if not isinstance(first, dict | list) or text[end : end + 1].strip():
        return None
    return first, text[end:]


def failures(target: Target, folder: Path, every: int = 1) -> list[str]:
    """Replace values in the first and the last of the JSON and YAML files of a valid input, and read it; those that end in another error than InputError.

    Args:
        target: the reader.
        folder: empty.
        every: try only every n-th replacement.
    """
    target.make(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in target.spared)
    files = [path for path in files if parsed(path) is not None]
    failed, number = [], 0
    for file in dict.fromkeys([*files[:1], *files[-1:]]):
        original = file.read_bytes()
        document, others = parsed(file) or (None, "")
        for place in places(document):
            for other in (*OTHERS, *([MISSING] if place else [])):
                number += 1
                if number % every:
                    continue
                file.write_text(json.dumps(replaced(document, place, other)) + others, encoding="utf-8")
                try:
                    with limited(), suppress(InputError):
                        target.read(folder)
                except Exception as error:
                    shown = "missing" if other is MISSING else f"= {other!r}"
                    failed.append(f"{file.name} {place} {shown}: {type(error).__name__}: {error}")
        file.write_bytes(original)
    return failed
