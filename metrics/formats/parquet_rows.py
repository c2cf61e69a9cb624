"""Rows of Parquet tables of other programs as text, like those of `metrics.formats.csv_rows`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.tables.parquet import has_catalog


def parquet_header(file: Path) -> list[str]:
    """Names of the columns in lower case; none of a file that is no Parquet, or a table of `metrics` itself."""
    import pyarrow.parquet as pq

    return [] if has_catalog(file) else [name.strip().lower() for name in pq.read_schema(file).names]


def parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The place of each row, and its values in some columns as text; whole numbers without a point, missing values empty.

    Args:
        file: a Parquet file.
        columns: names in lower case.

    Raises:
        InputError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = {name.strip().lower(): name for name in pq.read_schema(file).names}
        table = pq.read_table(file, columns=[names[name] for name in columns])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    values = [table.column(names[name]).to_pylist() for name in columns]
    for row, written in enumerate(zip(*values, strict=True), 1):
        yield f"{file}:{row}", dict(zip(columns, map(_text, written), strict=True))


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
