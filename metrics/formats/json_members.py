"""Members of JSON objects in files from outside, whose type is checked: any value can be in any place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from metrics.errors import InputError

T = TypeVar("T", dict[str, Any], list[Any])


def object_in(row: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """The object under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    return _expected("an object", row.get(key) or {}, dict, f"{where}: {key}")


def list_in(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """The list under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    return _expected("a list", row.get(key) or [], list, f"{where}: {key}")


def objects_in(row: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    return [
        _expected("an object", value, dict, f"{where}: {key}[{k}]")
        for k, value in enumerate(list_in(row, key, where))
    ]


def text_in(row: Mapping[str, Any], key: str, where: str) -> str:
    """The text under a key of a JSON object.

    Raises:
        InputError: it is missing or empty, or a value of another type.
    """
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: has no {key}")
    return value


def points_in(row: Mapping[str, Any], key: str, where: str) -> list[tuple[Any, Any]]:
    """The list of pairs under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    points = list_in(row, key, where)
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise InputError(f"{where}: {key}: expected a list of [x, y], got {json.dumps(points)[:40]}")
    return [(x, y) for x, y in points]


def _expected(what: str, value: Any, of: type[T], where: str) -> T:
    if not isinstance(value, of):
        raise InputError(f"{where}: expected {what}, got {json.dumps(value)[:40]}")
    return value
