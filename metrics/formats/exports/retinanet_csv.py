"""keras-retinanet's table without column names: ``path,x1,y1,x2,y2,class``; ``path,,,,,`` is an image without objects.

SKU-110K has the image's width and height in two further columns. GTSDB has the same six columns in ``gt.txt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.csv_rows import csv_rows, header_of
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    folder_prefix,
    number,
)
from metrics.formats.image_search import IMAGE_SUFFIXES
from metrics.plurals import plural

_COLUMNS = (6, 8)
"""Numbers of columns, without and with the image's size."""


def _files(path: Path) -> list[Path]:
    patterns = ("*.csv", "*/*.csv", "gt.txt", "*/gt.txt")
    return find_files(path, (".csv", ".txt"), patterns, lambda file: _is_retinanet(header_of(file)))


def _is_retinanet(first: list[str]) -> bool:
    """Whether the values of a line are an image, four numbers or none, and a class or none."""
    if len(first) not in _COLUMNS or PurePosixPath(first[0].replace("\\", "/")).suffix not in IMAGE_SUFFIXES:
        return False
    numbers = [*first[1:5], *first[6:]]
    return not any(first[1:]) or all(value.replace(".", "").lstrip("-").isdigit() for value in numbers)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        folder = folder_prefix(file, root)
        boxes: dict[str, list[Box]] = {}
        sizes: dict[str, tuple[int, int]] = {}
        for where, values in csv_rows(file):
            row = [value.strip() for value in values]
            if len(row) not in _COLUMNS:
                raise InputError(f"{where}: expected path,x1,y1,x2,y2,class, got {plural(len(row), 'value')}")
            of_image = boxes.setdefault(row[0] if "/" in row[0] else folder + row[0], [])
            if len(row) == max(_COLUMNS):
                size = (int(number(row[7], where)), int(number(row[6], where)))
                sizes[row[0] if "/" in row[0] else folder + row[0]] = size
            if any(row[1:6]):
                if not row[5]:
                    raise InputError(f"{where}: has no class")
                x1, y1, x2, y2 = (number(value, where) for value in row[1:5])
                of_image.append(Box(row[5], (x1, y1, x2, y2)))
        of_file = [
            ImageAnnotation(name, tuple(of), sizes.get(name, (0, 0)), purpose) for name, of in boxes.items()
        ]
        images += as_fractions(of_file, str(file))
    return images


EXPORT = Export(
    name="retinanet_csv",
    summary="keras-retinanet's CSV table without column names",
    source="github.com/fizyr/keras-retinanet#csv-datasets",
    looks_for="a CSV file of lines path,x1,y1,x2,y2,class",
    files=_files,
    read=_read,
    images=("", "images"),
)
