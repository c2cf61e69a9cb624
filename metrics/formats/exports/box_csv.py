"""A table (CSV, or Parquet by its path) with a box in each row and names of columns that many programs use, such as ``image,label,xmin,ymin,xmax,ymax``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.box_columns import BOX_COLUMNS, COLUMN_NAMES
from metrics.formats.box_table import box_values
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    exports,
    file_purpose,
    find_files,
    folder_prefix,
    number,
)
from metrics.formats.parquet_rows import parquet_header, parquet_rows
from metrics.formats.purpose import parse_purpose
from metrics.notes import Note, report

_ONLY_CLASS = "object"
_SPLITS = ("split", "subset", "set", "usage")
_EMPTY = re.compile(r"(nan|none|null)?", re.IGNORECASE)
_TRUE = ("1", "1.0", "true")
_OTHERS = ("makesense_csv", "open_images", "retinanet_csv", "tensorflow_csv", "vertex_ai", "via_csv")
"""Layouts of CSV tables that have rules of their own."""


def _files(path: Path) -> list[Path]:
    """Tables of boxes; one with scores, or of Parquet, only where its own path is given: in a folder it may hold detections or images."""
    endings = (".csv", ".parquet")
    return find_files(path, endings, ("*.csv", "*/*.csv"), lambda file: _is_ours(file, scored=path.is_file()))


def _header(file: Path) -> list[str]:
    return parquet_header(file) if file.suffix.lower() == ".parquet" else header_of(file)


def _rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    return parquet_rows(file, columns) if file.suffix.lower() == ".parquet" else named_rows(file, columns)


def _is_ours(file: Path, scored: bool) -> bool:
    columns = _columns(_header(file))
    if "image_id" not in columns or _boxes(columns) is None or ("score" in columns and not scored):
        return False
    return not any(exports()[name].files(file) for name in _OTHERS)


def _columns(header: Sequence[str]) -> dict[str, str]:
    """Names in the file by our names for them."""
    found = {}
    for name, spellings in COLUMN_NAMES.items():
        if (spelling := next((each for each in spellings if each in header), None)) is not None:
            found[name] = spelling
    split = next((name for name in _SPLITS if name in header), None)
    return found | ({"split": split} if split else {})


def _boxes(columns: Mapping[str, str]) -> tuple[str, ...] | None:
    return next((names for names in BOX_COLUMNS if set(names) <= set(columns)), None)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        folder = folder_prefix(file, root)
        images += _images(file, folder, file_purpose(file, root, files))
    return images


def _images(file: Path, folder: str, purpose: str | None) -> list[ImageAnnotation]:
    columns = _columns(_header(file))
    names = _boxes(columns)
    if names is None or "image_id" not in columns:
        raise InputError(
            f"{file}:1: expected columns of an image and a box, such as image, xmin, ymin, xmax, ymax"
        )
    boxes: dict[str, list[Box]] = {}
    splits: dict[str, str | None] = {}
    for where, row in _rows(file, list(columns.values())):
        name = row[columns["image_id"]].strip()
        if not name:
            raise InputError(f"{where}: {columns['image_id']}: has no image")
        split = parse_purpose(row[columns["split"]]) if "split" in columns else None
        if splits.setdefault(name, split) != split:
            raise InputError(f"{where}: {name} is of another split than in an earlier line")
        boxes.setdefault(name, []).extend(_box(row, columns, names, where))
    if not {"class", "class_id"} & set(columns):
        unread = [name for name in _header(file) if name and name not in columns.values()]
        text = f"{file}: has no column of classes; all objects are of one class, {_ONLY_CLASS!r}"
        if unread:
            text += f"; if one of {', '.join(unread)[:200]} has the classes, call it class"
        report(Note("one_class", text, str(file)))
    named = None not in splits.values()
    images = [
        ImageAnnotation(folder + name, tuple(of), (0, 0), splits[name] if named else purpose)
        for name, of in boxes.items()
    ]
    return as_fractions(images, str(file))


def _box(
    row: Mapping[str, str], columns: Mapping[str, str], names: tuple[str, ...], where: str
) -> Iterator[Box]:
    """The box of a row; none where all its values are empty, which stands for an image without objects.

    Args:
        row: values by the names in the file.
        columns: names in the file by our names for them.
        names: our names of the columns of the box.
        where: the row, for messages.
    """
    values = [row[columns[name]].strip() for name in names]
    if all(_EMPTY.fullmatch(value) for value in values):
        return
    if names == ("bbox",):
        values = box_values(values[0], f"{where}: {columns['bbox']}")
    a, b, c, d = (number(value, f"{where}: {name}") for name, value in zip(names * 4, values, strict=False))
    label = next((row[columns[key]].strip() for key in ("class", "class_id") if key in columns), _ONLY_CLASS)
    if not label:
        raise InputError(f"{where}: has no class")
    ignored, crowd = (
        key in columns and row[columns[key]].strip().lower() in _TRUE for key in ("ignored", "crowd")
    )
    if BOX_COLUMNS[names] == "cxcywh":
        a, b = a - c / 2, b - d / 2
    corners = (a, b, c, d) if BOX_COLUMNS[names] == "xyxy" else (a, b, a + c, b + d)
    score = number(row[columns["score"]], f"{where}: score") if "score" in columns else math.nan
    yield Box(label, corners, ignored, crowd, score=score)


EXPORT = Export(
    name="box_csv",
    summary="a CSV table with columns for image, class and box under common names",
    source="docs/formats.md",
    looks_for="a CSV file with columns such as image, label, xmin, ymin, xmax, ymax",
    files=_files,
    read=_read,
    images=("", "images"),
)
