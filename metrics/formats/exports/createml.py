"""Apple's CreateML: a JSON list of images with annotations whose coordinates are a centre and a size, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    folder_prefix,
    number,
)
from metrics.formats.json_members import objects_in
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_head, read_json

_LISTS = ("annotations", "annotation")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), _is_createml)


def _is_createml(file: Path) -> bool:
    head = read_head(file)
    return (
        head.startswith(b"[")
        and any(f'"{key}"'.encode() in head for key in _LISTS)
        and b'"coordinates"' in head
        and b'"label"' in head
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        folder = folder_prefix(file, root)
        rows = read_json(file)
        if not isinstance(rows, list):
            raise InputError(f"{file}: expected a list of images")
        images += [_image(row, f"{file}: [{k}]", folder, purpose) for k, row in enumerate(rows)]
    return images


def _image(row: Any, where: str, folder: str, purpose: str | None) -> ImageAnnotation:
    name = row.get("image", row.get("imagefilename")) if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{where}: has no image; expected the name of its file")
    boxes = []
    key = next((key for key in _LISTS if key in row), _LISTS[0])
    for k, each in enumerate(objects_in(row, key, where)):
        place = f"{where}: {key}[{k}]"
        at, label = each.get("coordinates"), each.get("label")
        if not isinstance(at, dict) or not isinstance(label, str) or not label:
            raise InputError(f"{place}: expected a label and coordinates with x, y, width, height")
        x, y, w, h = (number(at.get(key), f"{place}: {key}") for key in ("x", "y", "width", "height"))
        boxes.append(Box(label, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), score=score_in(each)))
    return ImageAnnotation(folder + name if "/" not in name else name, tuple(boxes), purpose=purpose)


EXPORT = Export(
    name="createml",
    summary="CreateML, also from labelImg and Roboflow: list of images",
    source="developer.apple.com/documentation/createml/building-an-object-detector-data-source",
    looks_for="a JSON list of images with annotations and coordinates",
    files=_files,
    read=_read,
    images=("", "images"),
)
