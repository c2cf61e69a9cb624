"""Rows of CSV files of other tools as text, with the place of each row for messages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.number_commas import (
    NUMBER,
    ambiguous_text,
    comma_meaning,
    meaning_text,
    without_commas,
)
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_LARGEST = 2**30
_LONGEST_LINE = 2**16


def csv_rows(file: Path) -> Iterator[tuple[str, list[str]]]:
    """The place ``file:line`` and the values of each row that is not blank; commas, semicolons or tabs separate them.

    Where semicolons or tabs do, commas in columns of numbers are decimal points, as spreadsheets of many countries write them, or
    separate thousands; this is reported.

    Raises:
        InputError: the file is not UTF-8 or not CSV, or commas in its numbers may be either.
    """
    text = read_text(file, _LARGEST)
    separator = _separator(text[:_LONGEST_LINE])
    rows = _rows(text, separator, file)
    yield from rows if separator == "," else _without_commas(list(rows), file)


def _rows(text: str, separator: str, file: Path) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield f"{file}:{reader.line_num}", row
    except csv.Error as error:
        raise InputError(f"{file}:{reader.line_num}: is not CSV: {error}") from error


def _without_commas(rows: list[tuple[str, list[str]]], file: Path) -> list[tuple[str, list[str]]]:
    """The same rows with decimal points in columns in which some values have a comma, and all are numbers or empty."""
    below = [values for _, values in rows[1:]]  # the first row may be names
    numbers = {
        k: column
        for k in range(max(map(len, below), default=0))
        for column in [[values[k] for values in below if k < len(values)]]
        if all(map(NUMBER.fullmatch, column))
    }
    columns = {k for k, column in numbers.items() if any("," in value for value in column)}
    if not columns:
        return rows
    meaning = comma_meaning(value for k in columns for value in numbers[k])
    if meaning is None:
        place, first = next(
            (place, values[k])
            for place, values in rows[1:]
            for k in sorted(columns)
            if "," in (values[k : k + 1] or [""])[0]
        )
        raise InputError(f"{place}: {ambiguous_text(first)}")
    text = (
        f"{file}: commas in {plural(len(columns), 'column')} of numbers are read as {meaning_text(meaning)}"
    )
    report(Note("number_commas", text, str(file), {"columns": len(columns)}))
    return [
        (place, [without_commas(value, meaning) if k in columns else value for k, value in enumerate(values)])
        for place, values in rows
    ]


def named_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The place of each row, and its values by the lower-case names in the first row.

    Args:
        file: the file.
        columns: names that there must be, in lower case.

    Raises:
        InputError: as `csv_rows`; a column is missing, or a row has more or fewer values than there are names.
    """
    rows = csv_rows(file)
    place, first = next(rows, (f"{file}:1", []))
    header = [name.strip().lower() for name in first]
    if missing := [name for name in columns if name not in header]:
        raise InputError(f"{place}: has no column {', '.join(missing)}; it has {', '.join(header)[:200]}")
    for place, row in rows:
        if len(row) != len(header):
            raise InputError(f"{place}: expected {plural(len(header), 'value')}, got {len(row):,}")
        yield place, dict(zip(header, row, strict=True))


def header_of(file: Path) -> list[str]:
    """The names in the first line of a file, in lower case; nothing is checked."""
    lines = read_head(file, 4096).decode("utf-8", "replace").splitlines()
    first = lines[0] if lines else ""
    return [name.strip().strip('"').lower() for name in first.split(_separator(first))]


def _separator(text: str) -> str:
    """The most frequent of comma, semicolon and tab in the first line that is not blank."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)
