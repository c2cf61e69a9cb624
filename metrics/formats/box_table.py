"""Tables with one row per box, as CSV or as Parquet of any program: typed columns whose ids stay as they are written."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.formats.box_columns import BOX_COLUMNS, COLUMN_NAMES, XYWH, is_number_column
from metrics.formats.coco_columns import ImageIds, Results
from metrics.formats.fractions import are_fractions
from metrics.formats.identity import INTEGER, ClassMap, are_ids, ids_of_names
from metrics.formats.image_annotations import comma_hint
from metrics.formats.number_commas import NUMBER, ambiguous_text, comma_meaning, meaning_text, without_commas
from metrics.formats.untrusted import LARGEST, read_bytes, require_utf8
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import Catalog
from metrics.tables.class_names import original_matches

if TYPE_CHECKING:
    import pandas
    import pyarrow

_TRUE, _FALSE = frozenset(("true", "1", "1.0")), frozenset(("false", "0", "0.0", ""))


@dataclass(frozen=True, slots=True)
class BoxTable:
    """Columns of a table, by our names for them; values are checked when a column is read.

    Attributes:
        where: the file.
        columns: text or numbers, without missing values in text.
        first_row: number of the first row of boxes in the file: 2 in a CSV file, whose first line has the names.
        place: how a row's place is written after the file.
    """

    where: str
    columns: dict[str, pyarrow.ChunkedArray]
    first_row: int
    place: str = ":{}"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def require(self, *further: str) -> None:
        """Refuse a table without images, classes, boxes or one of `further`."""
        missing = [name for name in ("image_id", *further) if name not in self.columns]
        if not {"class", "class_id"} & set(self.columns):
            missing.append("class (or class_id)")
        if self._box_columns() is None:
            missing.append("x, y, w, h (or x1, y1, x2, y2)")
        if missing:
            names = ", ".join(self.columns) or "none that is known"
            raise InputError(f"{self.where}: no column {', '.join(missing)}; it has {names}")

    def is_plain(self) -> bool:
        """Whether every row has a class and a box that is not in fractions of the image's sides; also True where a value is invalid."""
        names = self._box_columns()
        if names is None or not {"class", "class_id"} & set(self.columns):
            return False
        if any(map(self._has_empty, names)):
            return False
        try:
            boxes = self.xywh()
        except InputError:
            return True
        return not are_fractions(boxes)

    def _has_empty(self, name: str) -> bool:
        column = self.columns[name]
        values = column.to_numpy()
        if values.dtype.kind == "f":
            return bool(np.isnan(values).any())
        return any(isinstance(value, str) and _EMPTY.fullmatch(value) for value in values.tolist())

    def text(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """A column as text, whole numbers of Parquet as integers: its distinct values, and the index of each row's value."""
        encoded = self.columns[name].combine_chunks().dictionary_encode()
        if encoded.null_count:
            raise self._error(name, int(np.argmax(encoded.is_null().to_numpy(False))), "has no value")
        return list(map(_text, encoded.dictionary.to_pylist())), encoded.indices.to_numpy().astype(np.int64)

    def ids(self, name: str) -> ImageIds:
        """Integers if all values are written as such, without leading zeros; otherwise text."""
        values, rows = self.text(name)
        if all(map(INTEGER.fullmatch, values)):
            return np.array(list(map(int, values)), np.int64)[rows]
        return [values[row] for row in rows.tolist()]

    def integers(self, name: str) -> NDArray[np.int64]:
        """Whole numbers, among them 3.0."""
        values = self.numbers(name)
        wrong = (values != np.floor(values)) | (np.abs(values) > 2**53)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self._error(name, row, "expected a whole number")
        return values.astype(np.int64)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Finite numbers."""
        import pyarrow as pa

        column = self.columns[name]
        try:
            values = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            values = np.array([self._number(name, row, v) for row, v in enumerate(column.to_pylist())])
        wrong = ~np.isfinite(values)
        if wrong.any():
            raise self._error(name, int(np.argmax(wrong)), "expected a finite number")
        return values

    def flags(self, name: str) -> NDArray[np.bool_]:
        """True or False, also written as 1 and 0."""
        values, rows = self.text(name)
        words = [value.strip().lower() for value in values]
        for index, word in enumerate(words):
            if word not in _TRUE | _FALSE:
                raise self._error(name, int(np.argmax(rows == index)), "expected True or False")
        return np.array([word in _TRUE for word in words], np.bool_)[rows]

    def xywh(self) -> NDArray[np.float64]:
        """(N, 4) boxes in pixels."""
        names = self._box_columns()
        assert names is not None  # of `require`
        if names == ("bbox",):
            values = enumerate(self.columns["bbox"].to_pylist(), self.first_row)
            texts = [
                box_values(value, f"{self.where}{self.place.format(row)}: bbox") for row, value in values
            ]
            return np.array(texts, np.float64).reshape(-1, 4)
        boxes = np.stack([self.numbers(name) for name in names], axis=1)
        return convert(boxes, BOX_COLUMNS[names], "xywh")

    def _box_columns(self) -> tuple[str, ...] | None:
        return next((names for names in BOX_COLUMNS if set(names) <= set(self.columns)), None)

    def results(self, catalog: Catalog, class_map: ClassMap | None) -> Results:
        """Detections as of a results file, whose ids are looked up, mapped and checked by the same code.

        Class names become the ids of `catalog`, where there are no class ids, or where they contradict the ids, the
        ground truth has all of them, and there is no `class_map`: ids of other programs often count from another number.

        Raises:
            InputError: a column is missing, a value is invalid, or the ground truth lacks a class name.
        """
        self.require("score")
        if "class_id" in self.columns:
            class_ids, mapped = self._agreeing(self.integers("class_id"), catalog, class_map)
        else:
            class_ids, mapped = self._class_ids(catalog, class_map)
        names = None
        if "file_name" in self.columns:
            values, rows = self.text("file_name")
            names = [values[row] for row in rows.tolist()]
        return Results(
            self.ids("image_id"),
            class_ids,
            self.xywh(),
            self.numbers("score"),
            mapped=mapped,
            file_names=names,
        )

    def annotations(self) -> pandas.DataFrame:
        """Objects for `AnnotationTable.from_frame`, with typed columns."""
        import pandas

        self.require()
        ids = self.ids("image_id")
        values: dict[str, Any] = {"image_id": ids if isinstance(ids, np.ndarray) else np.array(ids, object)}
        if "class" in self.columns:
            values["class"] = self._objects("class")
        if "class_id" in self.columns:
            values["class_id"] = self.integers("class_id")
        values |= dict(zip(XYWH, self.xywh().T, strict=True))
        readers = {
            "area": self.numbers,
            "object_id": self.integers,
            "crowd": self.flags,
            "ignored": self.flags,
        }
        values |= {name: read(name) for name, read in readers.items() if name in self.columns}
        if "file_name" in self.columns:
            values["file_name"] = self._objects("file_name")
        return pandas.DataFrame(values)

    def _agreeing(
        self, ids: NDArray[np.int64], catalog: Catalog, class_map: ClassMap | None
    ) -> tuple[NDArray[np.int64], bool]:
        """The class ids, or those of the class names if these are known and differ; and whether they are."""
        if "class" not in self.columns or class_map is not None:
            return ids, False
        names, rows = self.text("class")
        fitting = [original_matches(name, catalog.classes, catalog.class_ids) for name in names]
        if any(len(labels) != 1 for labels in fitting):
            return ids, False
        named = np.array([catalog.class_ids[labels[0]] for labels in fitting], np.int64)[rows]
        if (named == ids).all():
            return ids, False
        row = int(np.argmax(named != ids))
        text = (
            f"{self.where}: class ids and names differ, the first {ids[row]} and {names[rows[row]]!r}: names are used; "
            f"pass --class-map to use the ids"
        )
        report(Note("classes_by_name", text, self.where, {"rows": int(np.count_nonzero(named != ids))}))
        return named, True

    def _class_ids(self, catalog: Catalog, class_map: ClassMap | None) -> tuple[NDArray[np.int64], bool]:
        """Class ids from the column of names, and whether they are those of the ground truth."""
        names, rows = self.text("class")
        if are_ids(names, catalog):
            text = f"{self.where}: the column of class names has whole numbers, which are read as class ids"
            report(Note("class_ids_as_names", text, self.where, {"rows": len(rows)}))
            return np.array(list(map(int, names)), np.int64)[rows], False
        ids = ids_of_names(
            names,
            catalog,
            class_map,
            lambda index, problem: self._error("class", int(np.argmax(rows == index)), problem),
        )
        return np.array(ids, np.int64)[rows], True

    def _objects(self, name: str) -> NDArray[np.object_]:
        values, rows = self.text(name)
        return np.array(values, object)[rows]

    def _number(self, name: str, row: int, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise self._error(name, row, f"expected a number{comma_hint(value)}") from None

    def _error(self, name: str, row: int, problem: str) -> InputError:
        value = str(self.columns[name][row].as_py())
        shown = repr(value if len(value) <= 60 else f"{value[:60]}...")
        place = self.place.format(row + self.first_row)
        return InputError(f"{self.where}{place}: {name} {shown}: {problem}")


def read_csv(path: Path) -> BoxTable:
    """Read a CSV file with a first line of names; the separator is a comma, a semicolon or a tab.

    Where it is no comma, commas in numbers are read as decimal points or as separators of thousands, with a note.

    Args:
        path: text in UTF-8, plain or gzip, at most `untrusted.LARGEST` bytes and at most 200 times its packed size.

    Raises:
        InputError: not such a file, a line with another number of values, or commas in numbers that may be either.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    data = read_bytes(path, LARGEST)
    if not data.strip():
        raise InputError(f"{path}: the file is empty; a table without rows has a first line of names")
    require_utf8(data, path)
    first_line = _FIRST_LINE.search(data)
    odd: list[Any] = []

    def refuse(row: Any) -> str:
        odd.append(row)
        return "skip"

    def parsed(number: pa.DataType) -> pa.Table:
        odd.clear()
        types = dict.fromkeys(header, pa.string()) | dict.fromkeys(filter(is_number_column, header), number)
        return pc.read_csv(
            io.BytesIO(data),
            pc.ReadOptions(use_threads=False, block_size=max(1 << 20, len(line) + 1)),
            pc.ParseOptions(delimiter=separator, invalid_row_handler=refuse),
            pc.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[]),
        )

    try:
        line = first_line[0].decode() if first_line else ""
        separator = max(",;\t", key=line.count)
        header = next(csv.reader([line], delimiter=separator))
        try:
            table = parsed(pa.float64())
        except pa.ArrowInvalid:
            table = None
        if table is None:  # as text, so that the value and its row can be named
            table = parsed(pa.string())
            if separator != ",":
                table = _without_commas(table, path)
    except (pa.ArrowInvalid, csv.Error) as error:
        raise InputError(f"{path}: is not CSV: {str(error).splitlines()[0]}") from error
    if odd:
        row = odd[0]
        raise InputError(
            f"{path}:{row.number or '?'}: has {plural(row.actual_columns, 'value')}, expected {row.expected_columns}: {row.text[:60]!r}"
        )
    return BoxTable(str(path), named_columns(table), 2)


def _without_commas(table: pyarrow.Table, path: Path) -> pyarrow.Table:
    """A table of text with decimal points in columns of numbers of which some have commas; such a column of other text is unchanged."""
    import pyarrow as pa

    columns = {
        k: table.column(k).to_pylist() for k, name in enumerate(table.column_names) if is_number_column(name)
    }
    written = {k: values for k, values in columns.items() if all(map(NUMBER.fullmatch, values))}
    with_commas = {k: values for k, values in written.items() if any("," in value for value in values)}
    if not with_commas:
        return table
    meaning = comma_meaning(value for values in with_commas.values() for value in values)
    for k, values in with_commas.items():
        if meaning is None:
            row = next(row for row, value in enumerate(values) if "," in value)
            raise InputError(f"{path}:{row + 2}: {table.column_names[k]}: {ambiguous_text(values[row])}")
        plain = pa.array([without_commas(value, meaning) for value in values], pa.string())
        table = table.set_column(k, table.column_names[k], plain)
    assert meaning is not None
    text = f"{path}: commas in numbers are read as {meaning_text(meaning)}"
    report(Note("number_commas", text, str(path)))
    return table


def read_parquet(path: Path) -> BoxTable:
    """Read Parquet of another program.

    Raises:
        InputError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return BoxTable(str(path), named_columns(pq.read_table(path)), 1)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def box_values(value: object, where: str) -> list[str]:
    """The four numbers of a box that is written as text, such as ``[834.0, 222.0, 56.0, 36.0]``, or is a list.

    Raises:
        InputError: it has other than four numbers.
    """
    found = _BOX_NUMBER.findall(str(value))
    if len(found) != 4 or any(char.isalpha() for char in _BOX_NUMBER.sub("", str(value))):
        raise InputError(f"{where}: expected four numbers [x, y, w, h], got {str(value)[:40]!r}")
    return list(found)


_EMPTY = re.compile(r"\s*(nan|none|null)?\s*", re.IGNORECASE)
_BOX_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FIRST_LINE = re.compile(rb"[^\r\n]*\S[^\r\n]*")


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def named_columns(table: pyarrow.Table) -> dict[str, pyarrow.ChunkedArray]:
    """The columns that we know, by our names; see `COLUMN_NAMES`."""
    own = {name.strip().lower(): index for index, name in reversed(list(enumerate(table.column_names)))}
    found = {}
    for name, spellings in COLUMN_NAMES.items():
        spelling = next((each for each in spellings if each in own), None)
        if spelling is not None:
            found[name] = table.column(own[spelling])
    if {"class", "name"} <= set(own) and "class_id" not in found:  # of Ultralytics: an index and a name
        found |= {"class_id": table.column(own["class"]), "class": table.column(own["name"])}
    return found
