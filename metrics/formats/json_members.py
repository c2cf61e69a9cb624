"""Members of JSON objects in files from outside, whose type is checked: any value can be in any place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metrics.errors import InputError


def object_in(row: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """The object under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    value = row.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: {key}: expected an object, got {json.dumps(value)[:40]}")
    return value


def list_in(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """The list under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    value = row.get(key) or []
    if not isinstance(value, list):
        raise InputError(f"{where}: {key}: expected a list, got {json.dumps(value)[:40]}")
    return value


def objects_in(row: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    values = list_in(row, key, where)
    for k, value in enumerate(values):
        if not isinstance(value, dict):
            raise InputError(f"{where}: {key}[{k}]: expected an object, got {json.dumps(value)[:40]}")
    return values


def points_in(row: Mapping[str, Any], key: str, where: str) -> list[tuple[Any, Any]]:
    """The list of pairs under a key of a JSON object; empty if it is missing, null or empty.

    Raises:
        InputError: a value of another type.
    """
    points = list_in(row, key, where)
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise InputError(f"{where}: {key}: expected a list of [x, y], got {json.dumps(points)[:40]}")
    return [(x, y) for x, y in points]
