r"""CSV files: UTF-8, line ends ``\n``, decimal points, empty cells for missing values, no formulas."""

from __future__ import annotations

import numpy as np
import pandas as pd

# pandas quotes cells that contain a character of the line end; a lone carriage return must be quoted, too.
_ROW_END = "\r\x1e\n"

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(frame: pd.DataFrame) -> str:
    """Convert a table to CSV without its index; the same table gives the same text.

    Numbers have all digits, so that they are read back exactly. NaN, None and infinities are empty cells. *Text* cells that
    a spreadsheet would take for a formula are escaped (`escape_formula`); numbers never are.
    """
    plain = pd.DataFrame({escape_formula(str(name)): _column(frame[name]) for name in frame.columns})
    return str(plain.to_csv(index=False, lineterminator=_ROW_END)).replace(_ROW_END, "\n")


def escape_formula(text: str) -> str:
    """Prefix `text` with ``'`` if it starts like a formula: with ``= + - @``, a tab or a line break."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _column(values: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(values.dtype):
        return values.where(np.isfinite(values.astype("float64")))
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        return values
    return values.map(lambda cell: escape_formula(cell) if isinstance(cell, str) else cell)
