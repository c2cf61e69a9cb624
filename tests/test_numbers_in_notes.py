"""Counts in the notes and errors of data readers have separators of thousands, as all others: 2,805 objects."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import numpy as np
import pytest

from metrics.errors import InputWarning
from metrics.formats.plausibility import warn_rows
from metrics.plurals import listed_counts

ROOT = Path(__file__).parents[1]
FOLDERS = ("metrics/formats", "bench/data", "bench/datasets", "bench/convert")
NUMBERS_TO_WRITE = {"len(names) - 1", "len(CLASSES)", "len(CLASSES) + 1", "len(names)"}
"""Class numbers and settings, which the reader of the message writes into a file."""


def unseparated(file: Path) -> list[str]:
    """Counts in f-strings, ``len(...)`` or ``sum(...)``, without a format."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FormattedValue) and node.format_spec is None:
            value = ast.unparse(node.value)
            if value.startswith(("len(", "sum(")) and value not in NUMBERS_TO_WRITE:
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {value}")
    return found


def test_counts_in_sentences_of_readers_have_separators() -> None:
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    assert [line for file in files for line in unseparated(file)] == []


def test_rows_are_counted_with_separators() -> None:
    rows = np.arange(15_044) < 2_805
    with (
        pytest.warns(InputWarning, match=r"^a.json: 2,805 of 15,044 objects are small"),
        warnings.catch_warnings(),
    ):
        warn_rows("a.json", rows, "objects are small")
    assert listed_counts({"train": 12_239, "val": 40}) == "train 12,239, val 40"
