"""Encord's JSON: label rows with ``data_units``, whose objects have boxes in fractions of the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    file_purpose,
    find_files,
    number,
    report_left_out,
    rotated_corners,
)
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.untrusted import read_head, read_json

_SIDES = ("x", "y", "w", "h")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"data_units"' in head or (b'"label_hash"' in head and b'"data_hash"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = []
    for file in files:
        document = read_json(file)
        rows = document if isinstance(document, list) else [document]
        purpose = file_purpose(file, root, files)
        for k, row in enumerate(rows):
            where = f"{file}: [{k}]"
            if not isinstance(row, dict):
                raise InputError(f"{where}: expected a label row with data_units")
            units = object_in(row, "data_units", where)
            for key in units:
                place = f"{where}: data_units[{key[:40]}]"
                images += _image(object_in(units, key, f"{where}: data_units"), row, place, purpose, left_out)
    report_left_out(
        left_out,
        str(root),
        (
            "annotation encloses no area or is not of an image, and is",
            "annotations enclose no area or are not of images, and are",
        ),
    )
    return images


def _image(
    unit: Mapping[str, Any], row: Mapping[str, Any], where: str, purpose: str | None, left_out: Counter[str]
) -> list[ImageAnnotation]:
    """The image of a data unit; none of a video, an audio file or a text."""
    labels = object_in(unit, "labels", where)
    kind = str(unit.get("data_type") or row.get("data_type") or "image")
    if not kind.startswith(("image", "img_group")):
        left_out[kind[:40]] += 1
        return []
    name = unit.get("data_title") or row.get("data_title")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: has no data_title")
    height, width = (int(number(unit.get(key), f"{where}: {key}")) for key in ("height", "width"))
    boxes = [
        box
        for k, each in enumerate(objects_in(labels, "objects", where))
        if (box := _box(each, (height, width), f"{where}: objects[{k}]", left_out))
    ]
    return [ImageAnnotation(name, tuple(boxes), (height, width), purpose)]


def _box(each: Mapping[str, Any], size: tuple[int, int], where: str, left_out: Counter[str]) -> Box | None:
    label, kind = text_in(each, "name", where), str(each.get("shape"))[:40]
    height, width = size
    if kind == "bounding_box":
        return Box(label, _corners(object_in(each, "boundingBox", where), size, where))
    if kind == "rotatable_bounding_box":
        box = object_in(each, "rotatableBoundingBox", where)
        x1, y1, x2, y2 = _corners(box, size, where)
        theta = number(box.get("theta") or 0, f"{where}: theta")
        return Box(label, rotated_corners((x1, y1, x2, y2), ((x1 + x2) / 2, (y1 + y2) / 2), theta))
    points = each.get("polygon") if kind == "polygon" else None
    listed = list(points.values()) if isinstance(points, dict) else points
    if (
        not isinstance(listed, list)
        or len(listed) < 3
        or not all(isinstance(point, dict) for point in listed)
    ):
        left_out[kind] += 1
        return None
    at = [(number(p.get("x"), where) * width, number(p.get("y"), where) * height) for p in listed]
    return Box(label, bounding_corners(at))


def _corners(box: Mapping[str, Any], size: tuple[int, int], where: str) -> Corners:
    x, y, w, h = (number(box.get(side), f"{where}: {side}") for side in _SIDES)
    height, width = size
    return x * width, y * height, (x + w) * width, (y + h) * height


EXPORT = Export(
    name="encord",
    summary="Encord: a JSON list of label rows",
    source="docs.encord.com/platform-documentation/Annotate/annotate-export/annotate-export-json",
    looks_for="a JSON file of label rows with data_units",
    files=_files,
    read=_read,
    images=("", "images"),
)
