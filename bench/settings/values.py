"""Text from the command line, read as the type of its setting requires."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.settings import toml


class CommandLineText(str):
    """A value that was typed and is not yet read: its meaning depends on the setting's type."""


def parse_text(text: str, annotation: Any) -> Any:
    """Value of `text` for a setting of the type `annotation`.

    Text is read as TOML if the type takes that value: numbers, true and false, lists, tables, quoted text. Otherwise it
    is read as the type's own text: ``resnet18`` and ``123`` where text is expected, ``.5`` for a number, ``64,96`` or
    ``[disk, ring]`` for a list.

    Returns:
        The value; if the type takes none of these, the TOML value or else `text`, which validation then refuses.
    """
    adapter = TypeAdapter(annotation)
    value, values_in_list = _toml_value(text), _toml_value(f"[{text}]")
    for candidate in (value, text, values_in_list):
        if candidate is not None and _is_valid(adapter, candidate):
            return candidate
    items = [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",") if item.strip()]
    for candidate in (items, text) if value is None else (items,):
        try:
            return adapter.validate_python(candidate)
        except ValidationError:
            continue
    return text if value is None else value


def _toml_value(text: str) -> Any:
    try:
        return toml.read_value(text)
    except ValueError:
        return None


def _is_valid(adapter: TypeAdapter[Any], value: Any) -> bool:
    """Whether a value has the type already: JSON's strict rules, by which a list is a tuple but no text is a number."""
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True
