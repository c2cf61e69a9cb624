"""Visual Genome: ``objects.json``, a list of images with objects of ``x``, ``y``, ``w``, ``h`` and ``names``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.json_members import list_in, objects_in
from metrics.formats.untrusted import read_head, read_json

_SIDES = ("x", "y", "w", "h")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("objects*.json", "*/objects*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return head.startswith(b"[") and b'"objects"' in head and b'"names"' in head and b'"image_id"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        rows = read_json(file)
        if not isinstance(rows, list):
            raise InputError(f"{file}: expected a list of images with objects")
        images += [_image(row, f"{file}: [{k}]") for k, row in enumerate(rows)]
    return images


def _image(row: Any, where: str) -> ImageAnnotation:
    identity = row.get("image_id") if isinstance(row, dict) else None
    if not isinstance(identity, int) or isinstance(identity, bool):
        raise InputError(f"{where}: image_id: expected a whole number")
    boxes = tuple(
        _box(each, f"{where}: objects[{k}]") for k, each in enumerate(objects_in(row, "objects", where))
    )
    return ImageAnnotation(f"{identity}.jpg", boxes)


def _box(each: Mapping[str, Any], where: str) -> Box:
    names = list_in(each, "names", where)
    if not names or not isinstance(names[0], str) or not names[0].strip():
        raise InputError(f"{where}: has no names")
    x, y, w, h = (number(each.get(side), f"{where}: {side}") for side in _SIDES)
    return Box(names[0].strip().lower(), (x, y, x + w, y + h))


EXPORT = Export(
    name="visual_genome",
    summary="Visual Genome: a JSON list of images with objects and their names",
    source="Krishna et al. 2017, arXiv:1602.07332; homes.cs.washington.edu/~ranjay/visualgenome",
    looks_for="objects.json, a list of images with objects of names, x, y, w, h",
    files=_files,
    read=_read,
    images=("VG_100K", "VG_100K_2", "images", ""),
)
