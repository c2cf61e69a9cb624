"""nuImages: tables ``object_ann.json``, ``sample_data.json`` and ``category.json`` in a folder for each split (``v1.0-train``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    find_files,
    four_numbers,
    number,
    without_partial_purposes,
)
from metrics.formats.json_members import text_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.unpublished import without_unpublished
from metrics.formats.untrusted import read_json

_OBJECTS, _IMAGES, _CLASSES = "object_ann.json", "sample_data.json", "category.json"


def _files(path: Path) -> list[Path]:
    patterns = (_OBJECTS, f"*/{_OBJECTS}", f"*/*/{_OBJECTS}")
    return find_files(path, _OBJECTS, patterns, _is_ours)


def _is_ours(file: Path) -> bool:
    return file.with_name(_IMAGES).is_file() and file.with_name(_CLASSES).is_file()


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = [image for file in files for image in _images(file)]
    return without_unpublished(without_partial_purposes(images), root)


def _images(file: Path) -> list[ImageAnnotation]:
    """The key frames of a split; only these are annotated."""
    names = {
        text_in(row, "token", where): text_in(row, "name", where) for where, row in _rows(file, _CLASSES)
    }
    boxes: dict[str, list[Box]] = {}
    frames = [
        (where, row) for where, row in _rows(file, _IMAGES) if row.get("is_key_frame") and _is_image(row)
    ]
    for where, row in frames:
        boxes[text_in(row, "token", where)] = []
    for where, row in _rows(file, _OBJECTS):
        image, category = text_in(row, "sample_data_token", where), text_in(row, "category_token", where)
        if image not in boxes:
            raise InputError(f"{where}: sample_data_token {image[:40]!r} is not of a key frame in {_IMAGES}")
        if category not in names:
            raise InputError(f"{where}: category_token {category[:40]!r} is not in {_CLASSES}")
        corners = four_numbers(row.get("bbox"), f"{where}: bbox", "[x1, y1, x2, y2]")
        boxes[image].append(Box(names[category], corners))
    return [_image(row, tuple(boxes[row["token"]]), file, where) for where, row in frames]


def _is_image(row: dict[str, Any]) -> bool:
    return row.get("fileformat") in (None, "jpg", "jpeg", "png")


def _image(row: dict[str, Any], boxes: tuple[Box, ...], file: Path, where: str) -> ImageAnnotation:
    height, width = (int(number(row.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    return ImageAnnotation(
        text_in(row, "filename", where), boxes, (height, width), parse_purpose(file.parent.name)
    )


def _rows(file: Path, name: str) -> list[tuple[str, dict[str, Any]]]:
    table = file.with_name(name)
    rows = read_json(table)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{table}: expected a list of objects")
    return [(f"{table}: [{k}]", row) for k, row in enumerate(rows)]


EXPORT = Export(
    name="nuimages",
    summary="nuImages: tables of objects in images of driving",
    source="Caesar et al. 2020, arXiv:1903.11027; nuscenes.org/nuimages",
    looks_for="object_ann.json beside sample_data.json and category.json",
    files=_files,
    read=_read,
    images=("",),
)
