"""What every column of a table must be, checked once when the table is made.

An error says the table, the column, the first wrong row, and what was expected.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metrics.errors import InputError


def put(thing: object, name: str, value: object) -> None:
    object.__setattr__(thing, name, value)


def name_of(thing: object) -> str:
    return type(thing).__name__


def check_count(thing: object, name: str, count: int, wanted: int, per: str) -> None:
    if count != wanted:
        raise InputError(f"{name_of(thing)}.{name}: expected one per {per}, {wanted}, got {count}")


def check_ids(thing: object, name: str, ids: tuple[Any, ...], types: tuple[type, ...]) -> None:
    kinds = set(map(type, ids))
    if not (kinds <= {types[0]} or kinds <= {types[-1]}):
        strange = next(
            identity for identity in ids if type(identity) not in types or type(identity) is not type(ids[0])
        )
        words = " or all ".join({int: "integers", str: "strings"}[kind] for kind in types)
        raise InputError(
            f"{name_of(thing)}.{name}: expected all {words}, but {strange!r} is {type(strange).__name__}"
        )
    for before, after in pairwise(ids):
        if not before < after:
            wrong = "twice" if before == after else f"after {before!r}"
            raise InputError(f"{name_of(thing)}.{name}: {after!r} stands {wrong}; ids are sorted and unique")
    if ids and type(ids[0]) is int and (ids[0] < -(2**63) or ids[-1] >= 2**63):
        raise InputError(f"{name_of(thing)}.{name}: {ids[0]} .. {ids[-1]} do not fit into 64 bits")


def _shaped(thing: object, name: str, values: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    column = np.asarray(values)
    if column.size == 0 and 0 in shape:
        column = column.reshape(shape)
    if column.shape != shape:
        raise InputError(f"{name_of(thing)}.{name}: expected shape {shape}, got {column.shape}")
    return column


def integers(thing: object, name: str, values: Any, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    column = _shaped(thing, name, values, shape)
    if column.dtype == dtype:
        return np.ascontiguousarray(column)
    if column.size == 0:
        return np.zeros(shape, dtype)
    if column.dtype.kind not in "iu":
        raise InputError(f"{name_of(thing)}.{name}: expected integers, got {column.dtype}")
    limits = np.iinfo(np.dtype(dtype))
    if column.min() < limits.min or column.max() > limits.max:
        raise InputError(f"{name_of(thing)}.{name}: {column.max()} does not fit into {np.dtype(dtype).name}")
    return column.astype(dtype)


def floats(thing: object, name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    column = _shaped(thing, name, values, shape)
    if column.dtype.kind not in "fiu" and column.size:
        raise InputError(f"{name_of(thing)}.{name}: expected numbers, got {column.dtype}")
    column = np.ascontiguousarray(column, np.float64)
    # the least and the greatest are NaN where any is: no array of flags for millions of rows
    if column.size and not (np.isfinite(column.min()) and np.isfinite(column.max())):
        finite = np.isfinite(column) if column.ndim == 1 else np.isfinite(column).all(1)
        row = int(np.argmin(finite))
        value = f"{column[row]}" if column.ndim == 1 else column[row].tolist()
        raise InputError(
            f"{name_of(thing)}.{name}: row {row} is {value}, and {np.count_nonzero(~finite)} of {len(column)} rows "
            "are not finite; mend or leave out those rows"
        )
    return column


def flags(thing: object, name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    column = _shaped(thing, name, values, shape)
    if column.dtype != np.bool_ and column.size and not np.isin(column, (0, 1)).all():
        raise InputError(f"{name_of(thing)}.{name}: expected flags, true or false, got {column.dtype}")
    return np.ascontiguousarray(column, np.bool_)
