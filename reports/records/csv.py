r"""Tables as CSV for people, papers and spreadsheets: UTF-8, ``\n``, ``.`` for decimals, empty where missing."""

from __future__ import annotations

import numpy as np
import pandas as pd

# Cells are quoted where they hold a character of the line's end, and a lone carriage return must be quoted too.
_ROW_END = "\r\x1e\n"

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(frame: pd.DataFrame) -> str:
    """The table without its index; the same table is the same text.

    Numbers are written with as many digits as bring them back exactly. NaN, None and infinities are empty cells. A
    *text* cell that a spreadsheet would take for a formula gets a ``'`` before it (`guarded`); numbers never do.
    """
    plain = pd.DataFrame({guarded(str(name)): _column(frame[name]) for name in frame.columns})
    return str(plain.to_csv(index=False, lineterminator=_ROW_END)).replace(_ROW_END, "\n")


def guarded(text: str) -> str:
    """`text` with a ``'`` before it where it starts like a formula: with ``= + - @``, a tab or a line break."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _column(values: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(values.dtype):
        return values.where(np.isfinite(values.astype("float64")))
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        return values
    return values.map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
