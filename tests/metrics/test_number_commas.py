"""Commas in numbers of tables that semicolons or tabs separate: decimal points, separators of thousands, or refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts.registry import write_text

from metrics import read_truth
from metrics.errors import InputError, InputNote
from metrics.formats.number_commas import comma_meaning, without_commas


@given(
    st.lists(st.integers(0, 10**9), min_size=1),
    st.integers(0, 3),
    st.booleans(),
)
def test_numbers_are_read_as_they_were_written_or_not_at_all(
    thousandths: list[int], digits: int, of_thousands: bool
) -> None:
    """An independent writer: Python's format with a comma for thousands, or with a comma for the decimal point."""
    numbers = [round(value / 1000, digits) for value in thousandths]
    texts = [f"{n:,.{digits}f}" if of_thousands else f"{n:.{digits}f}".replace(".", ",") for n in numbers]
    meaning = comma_meaning(texts)
    if not any("," in text for text in texts):
        return
    if meaning is None:
        assert all("," not in text or text.count(",") == 1 for text in texts)
        return
    assert [float(without_commas(text, meaning)) for text in texts] == pytest.approx(numbers)


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (["1,024", "10,5"], [1.024, 10.5]),
        (["1,024", "0,125"], [1.024, 0.125]),
        (["1,024", "1200"], [1.024, 1200]),
        (["1,024", "1,024,000"], [1024, 1_024_000]),
        (["1,024", "1,030.5"], [1024, 1030.5]),
        (["1,024", "10.5"], [1024, 10.5]),
        (["1,024", "20"], None),
        (["1,024", "10,5", "1,024,000"], None),
    ],
)
@pytest.mark.parametrize(
    "columns", ["image;class;x1;y1;x2;y2", "filename;width;height;class;xmin;ymin;xmax;ymax"]
)
def test_fault_178_a_comma_before_three_digits_is_read_as_other_numbers_show(
    tmp_path: Path, column: list[str], read: list[float] | None, columns: str
) -> None:
    """Both kinds of readers of tables, by columns and by rows."""
    size = "" if columns.startswith("image") else ";4000;3000"
    rows = [
        f"a.png{size};cat;0;0;{value};2000000" if not size else f"a.png{size};cat;0;0;{value};20"
        for value in column
    ]
    file = write_text(tmp_path / "boxes.csv", "\n".join([columns, *rows]) + "\n")
    if read is None:
        with pytest.raises(
            InputError, match=r"boxes.csv:2: .*'1,024' may be 1.024 or 1024; write numbers with a decimal"
        ):
            read_truth(file)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(file)
    assert table.boxes[:, 2].tolist() == read
    said = [str(one.message) for one in caught if issubclass(one.category, InputNote)]
    what = "decimal points" if read[0] < 2 else "separators of thousands"
    assert any(
        f"of numbers are read as {what}" in text or f"in numbers are read as {what}" in text for text in said
    )
