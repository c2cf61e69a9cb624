"""Makesense's table ``label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height``.

Older versions write no line of names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.csv_rows import csv_rows, header_of
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.image_search import IMAGE_SUFFIXES
from metrics.plurals import plural

_COLUMNS = (
    "label_name",
    "bbox_x",
    "bbox_y",
    "bbox_width",
    "bbox_height",
    "image_name",
    "image_width",
    "image_height",
)


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv", "*/*.csv"), lambda file: _is_makesense(header_of(file)))


def _is_makesense(first: list[str]) -> bool:
    if tuple(first) == _COLUMNS:
        return True
    return (
        len(first) == len(_COLUMNS)
        and PurePosixPath(first[5]).suffix in IMAGE_SUFFIXES
        and all(value.replace(".", "").lstrip("-").isdigit() for value in (*first[1:5], *first[6:]))
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        boxes: dict[str, list[Box]] = {}
        sizes: dict[str, tuple[int, int]] = {}
        for where, row in csv_rows(file):
            if tuple(name.strip().lower() for name in row) == _COLUMNS:
                continue
            if len(row) != len(_COLUMNS):
                raise InputError(f"{where}: expected {','.join(_COLUMNS)}, got {plural(len(row), 'value')}")
            label, name = row[0], row[5]
            if not label or not name:
                raise InputError(f"{where}: has no {'image_name' if label else 'label_name'}")
            x, y, w, h = (number(value, where) for value in row[1:5])
            boxes.setdefault(name, []).append(Box(label, (x, y, x + w, y + h)))
            sizes[name] = (int(number(row[7], where)), int(number(row[6], where)))
        of_file = [ImageAnnotation(name, tuple(of), sizes[name], purpose) for name, of in boxes.items()]
        images += as_fractions(of_file, str(file))
    return images


EXPORT = Export(
    name="makesense_csv",
    summary="makesense's CSV table",
    source="github.com/SkalskiP/make-sense",
    looks_for="a CSV file of lines label,x,y,width,height,image,image_width,image_height",
    files=_files,
    read=_read,
    images=("", "images"),
)
