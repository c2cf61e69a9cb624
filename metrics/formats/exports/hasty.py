"""Hasty's JSON (versions 1.0 and 1.1): ``images`` with ``labels``, each with the corners of its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Export,
    ImageAnnotation,
    corner_box,
    file_purpose,
    find_files,
    number,
    without_partial_purposes,
)
from metrics.formats.json_members import objects_in, text_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_json


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"label_classes"' in head and b'"export_format_version"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        document = read_json(file)
        if not isinstance(document, dict):
            raise InputError(f"{file}: expected an object with label_classes and images")
        purpose = file_purpose(file, root, files)
        images += [
            _image(row, f"{file}: images[{k}]", purpose)
            for k, row in enumerate(objects_in(document, "images", str(file)))
        ]
    return without_partial_purposes(images)


def _image(row: Mapping[str, Any], where: str, purpose: str | None) -> ImageAnnotation:
    """An image; its data set is its split if it is called like one."""
    name, folder = text_in(row, "image_name", where), row.get("dataset_name")
    boxes = [
        corner_box(each, "class_name", "bbox", f"{where}: labels[{k}]")
        for k, each in enumerate(objects_in(row, "labels", where))
    ]
    size = (int(number(row.get("height") or 0, where)), int(number(row.get("width") or 0, where)))
    own = parse_purpose(folder) if isinstance(folder, str) else None
    return ImageAnnotation(
        f"{folder}/{name}" if isinstance(folder, str) and folder else name, tuple(boxes), size, own or purpose
    )


EXPORT = Export(
    name="hasty",
    summary="Hasty: a JSON file of images with labels",
    source="hasty.ai/docs (Hasty JSON)",
    looks_for="a JSON file with label_classes and images",
    files=_files,
    read=_read,
    images=("images", ""),
)
