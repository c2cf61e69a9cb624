"""Validation of a table's columns, once, at construction.

Errors name the table, the column, the first invalid row, and what was expected.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metrics.errors import InputError
from metrics.plurals import agree, plural


def set_field(owner: object, name: str, value: object) -> None:
    """Set a field of a frozen dataclass during its construction."""
    object.__setattr__(owner, name, value)


def field_name(owner: object, name: str) -> str:
    """``DetectionTable.score``: a field as errors call it."""
    return f"{type(owner).__name__}.{name}"


def check_count(owner: object, name: str, count: int, expected: int, per: str) -> None:
    """Refuse a column with another number of entries than `expected`."""
    if count != expected:
        raise InputError(f"{field_name(owner, name)}: expected one per {per}, {expected}, got {count}")


def check_ids(owner: object, name: str, ids: tuple[Any, ...], types: tuple[type, ...]) -> None:
    """Refuse ids of mixed types, ids that are not strictly increasing, and integers beyond 64 bits."""
    where = field_name(owner, name)
    kinds = set(map(type, ids))
    if not any(kinds <= {kind} for kind in types):
        wrong = next(i for i in ids if type(i) not in types or type(i) is not type(ids[0]))
        expected = " or all ".join({int: "integers", str: "strings"}[kind] for kind in types)
        raise InputError(f"{where}: expected all {expected}, but {wrong!r} is {type(wrong).__name__}")
    for before, after in pairwise(ids):
        if not before < after:
            place = "twice" if before == after else f"after {before!r}"
            raise InputError(f"{where}: {after!r} stands {place}; ids must be sorted and unique")
    if ids and type(ids[0]) is int and (ids[0] < -(2**63) or ids[-1] >= 2**63):
        raise InputError(f"{where}: {ids[0]} .. {ids[-1]} do not fit into 64 bits")


def integers(owner: object, name: str, values: Any, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """A contiguous integer column of this shape and dtype."""
    column = _shaped(owner, name, values, shape)
    if column.dtype == dtype:
        return np.ascontiguousarray(column)
    if column.size == 0:
        return np.zeros(shape, dtype)
    if column.dtype.kind not in "iu":
        raise InputError(f"{field_name(owner, name)}: expected integers, got {column.dtype}")
    limits = np.iinfo(np.dtype(dtype))
    if column.min() < limits.min or column.max() > limits.max:
        raise InputError(
            f"{field_name(owner, name)}: {column.max()} does not fit into {np.dtype(dtype).name}"
        )
    return column.astype(dtype)


def floats(owner: object, name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A contiguous float64 column of this shape, all finite."""
    column = _shaped(owner, name, values, shape)
    if column.dtype.kind not in "fiu" and column.size:
        raise InputError(f"{field_name(owner, name)}: expected numbers, got {column.dtype}")
    column = np.ascontiguousarray(column, np.float64)
    # minimum and maximum are NaN if any value is: this needs no mask of millions of rows
    if column.size and not (np.isfinite(column.min()) and np.isfinite(column.max())):
        finite = np.isfinite(column) if column.ndim == 1 else np.isfinite(column).all(1)
        row = int(np.argmin(finite))
        wrong = int(np.count_nonzero(~finite))
        value = f"{column[row]}" if column.ndim == 1 else column[row].tolist()
        raise InputError(
            f"{field_name(owner, name)}: row {row} is {value}, and {wrong:,} of "
            f"{plural(len(column), 'row')} {agree(wrong, 'is', 'are')} not finite; correct or remove those rows"
        )
    return column


def flags(owner: object, name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A contiguous bool column of this shape; 0 and 1 are accepted."""
    column = _shaped(owner, name, values, shape)
    if column.dtype != np.bool_ and column.size and not np.isin(column, (0, 1)).all():
        raise InputError(f"{field_name(owner, name)}: expected flags, true or false, got {column.dtype}")
    return np.ascontiguousarray(column, np.bool_)


def _shaped(owner: object, name: str, values: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    column = np.asarray(values)
    if column.size == 0 and 0 in shape:
        column = column.reshape(shape)
    if column.shape != shape:
        raise InputError(f"{field_name(owner, name)}: expected shape {shape}, got {column.shape}")
    return column
