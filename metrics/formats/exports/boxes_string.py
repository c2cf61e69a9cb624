"""Global Wheat Head Dataset 2021: a CSV table ``image_name,BoxesString,domain`` with the boxes of an image in one text.

Boxes are ``x1 y1 x2 y2`` in pixels, separated by semicolons; ``no_box`` is an image without objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    four_numbers,
)

_CLASS = "wheat head"
_NAME, _BOXES = "image_name", "boxesstring"
_NO_BOX = "no_box"


def _files(path: Path) -> list[Path]:
    return find_files(
        path, ".csv", ("*.csv", "*/*.csv"), lambda file: {_NAME, _BOXES} <= set(header_of(file))
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        of_file = [
            ImageAnnotation(_image(row, where), _boxes(row[_BOXES], f"{where}: BoxesString"), purpose=purpose)
            for where, row in named_rows(file, (_NAME, _BOXES))
        ]
        images += as_fractions(of_file, str(file))
    return images


def _image(row: dict[str, str], where: str) -> str:
    name = row[_NAME].strip()
    if not name:
        raise InputError(f"{where}: {_NAME}: has no image")
    return name


def _boxes(text: str, where: str) -> tuple[Box, ...]:
    texts = [] if text.strip() == _NO_BOX else [each for each in text.split(";") if each.strip()]
    return tuple(
        Box(_CLASS, four_numbers(each.split(), f"{where}: box {k}", "x1 y1 x2 y2"))
        for k, each in enumerate(texts, 1)
    )


EXPORT = Export(
    name="boxes_string",
    summary="Global Wheat Head Dataset 2021: a CSV table with the boxes of an image in one text",
    source="David et al. 2021, arXiv:2105.07660; zenodo.org/records/5092309",
    looks_for="a CSV file with the columns image_name and BoxesString",
    files=_files,
    read=_read,
    images=("images", ""),
)
