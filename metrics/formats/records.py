"""Columns of a list of JSON objects; every value is checked, and errors name the object and its ids."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")

Record = dict[str, Any]


def records(value: Any, where: str) -> list[Record]:
    """Return `value` if it is a list of objects.

    Args:
        value: parsed JSON.
        where: file and location in it for error messages: ``gt.json: annotations``.
    """
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list [...], got {_describe(value)}")
    if not set(map(type, value)) <= {dict}:
        row = next(i for i, record in enumerate(value) if type(record) is not dict)
        raise InputError(f"{where}[{row}]: expected an object {{...}}, got {_describe(value[row])}")
    return value


def integers(rows: Sequence[Record], key: str, where: str, default: int | None = None) -> NDArray[np.int64]:
    """(N,) integers, among them 42.0 and "42". A missing or null value becomes `default`, if there is one."""
    values = _values(rows, key, default)
    if not set(map(type, values)) <= {int}:
        values = _read_text(values, _INTEGER, int, f"{where}: {key}")
        for row, value in enumerate(values):
            if type(value) is float and value.is_integer():
                values[row] = int(value)
            elif type(value) is not int:
                raise InputError(
                    f"{_location(rows, row, where)}: {key}: {_expected('a whole number', rows[row], key)}"
                )
    try:
        return np.array(values, np.int64)
    except OverflowError as error:
        row = [-(2**63) <= value < 2**63 for value in values].index(False)
        raise InputError(f"{_location(rows, row, where)}: {key}: does not fit into 64 bits") from error


def numbers(
    rows: Sequence[Record], key: str, where: str, default: float | None = None
) -> NDArray[np.float64]:
    """(N,) finite numbers, among them "0.5". A missing or null value becomes `default` (which may be NaN), if there is one."""
    values = _values(rows, key, default)
    if not set(map(type, values)) <= {int, float}:
        values = _read_text(values, _NUMBER, float, f"{where}: {key}")
    if not set(map(type, values)) <= {int, float}:
        row = next(i for i, value in enumerate(values) if type(value) not in (int, float))
        raise InputError(f"{_location(rows, row, where)}: {key}: {_expected('a number', rows[row], key)}")
    column = _floats(values)
    invalid: list[int] = np.flatnonzero(~np.isfinite(column)).tolist()
    for row in invalid:
        if rows[row].get(key) is not None:
            raise InputError(
                f"{_location(rows, row, where)}: {key} is {column[row]}; expected a finite number"
            )
    return column


def boxes(rows: Sequence[Record], key: str, where: str) -> NDArray[np.float64]:
    """(N, 4) finite numbers."""
    values = _values(rows, key, None)
    for row, value in enumerate(values):
        if type(value) is not list or len(value) != 4:
            raise InputError(
                f"{_location(rows, row, where)}: {key}: {_expected('four numbers [x, y, w, h]', rows[row], key)}"
            )
    sides = list(chain.from_iterable(values))
    if not set(map(type, sides)) <= {int, float}:
        sides = _read_text(sides, _NUMBER, float, f"{where}: {key}")
    if not set(map(type, sides)) <= {int, float}:
        row = next(i for i, side in enumerate(sides) if type(side) not in (int, float)) // 4
        raise InputError(
            f"{_location(rows, row, where)}: {key}: {_expected('four numbers [x, y, w, h]', rows[row], key)}"
        )
    column = _floats(sides).reshape(-1, 4)
    finite = np.isfinite(column).all(1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise InputError(f"{_location(rows, row, where)}: {key} is {values[row]}; expected finite numbers")
    return column


def strings(rows: Sequence[Record], key: str, where: str, default: str | None = None) -> list[str]:
    """N strings. A missing or null value becomes `default`, if there is one."""
    values = _values(rows, key, default)
    if not set(map(type, values)) <= {str}:
        row = next(i for i, value in enumerate(values) if type(value) is not str)
        raise InputError(f"{_location(rows, row, where)}: {key}: {_expected('a string', rows[row], key)}")
    return values


def _read_text(values: list[Any], pattern: re.Pattern[str], kind: type[int | float], where: str) -> list[Any]:
    """Values in which text that spells a number is that number, which is reported; other values are left as they are."""
    spelled = [value for value in values if type(value) is str and pattern.fullmatch(value.strip())]
    if spelled:
        text = f"{where}: {len(spelled):,} of {plural(len(values), 'value')} {agree(len(spelled), 'is a number', 'are numbers')} as text, such as {spelled[0]!r}; read as {agree(len(spelled), 'a number', 'numbers')}"
        report(Note("numbers_as_text", text, where, {"values": len(spelled), "of": len(values)}))
        known = set(spelled)
        return [kind(value) if type(value) is str and value in known else value for value in values]
    return values


def _values(rows: Sequence[Record], key: str, default: Any) -> list[Any]:
    values = [row.get(key) for row in rows]
    if default is not None:
        values = [default if value is None else value for value in values]
    return values


def _floats(values: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array(values, np.float64)
    except OverflowError:  # an integer of more than 308 digits becomes infinite, and is refused
        return np.array(
            [value if abs(value) < 2**1023 else math.inf if value > 0 else -math.inf for value in values],
            np.float64,
        )


def _location(rows: Sequence[Record], row: int, where: str) -> str:
    """``dets.json: [17] (image_id 42)``."""
    known = [
        f"{key} {rows[row][key]!r}" for key in ("id", "image_id") if type(rows[row].get(key)) in (int, str)
    ]
    return f"{where}[{row}]" + (f" ({', '.join(known)})" if known else "")


def _expected(expected: str, record: Record, key: str) -> str:
    if key not in record:
        return f"missing; expected {expected}"
    return f"expected {expected}, got {_describe(record[key])}"


def _describe(value: Any) -> str:
    """A JSON value for error messages: ``the string '95%'``, ``null``, ``a list of 3``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the string {(value if len(value) < 40 else value[:37] + '...')!r}"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        return "an object {" + ", ".join(list(value)[:6]) + "}"
    return f"{value}"
