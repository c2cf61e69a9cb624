"""Supervisely: ``ann/<image file>.json`` beside ``img``, in one folder per data set."""

from __future__ import annotations

import base64
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, object_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_json

_AREAS = {"rectangle": 2, "polygon": 3}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = struct.Struct(">8s8xII")
"""Signature, length and name of the first chunk, and the width and height in it."""


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    for pattern in ("ann/*.json", "*/ann/*.json", "*/*/ann/*.json"):
        files = visible_files(path, pattern)
        if files and b'"objects"' in (head := read_head(files[0])) and b'"size"' in head:
            return files
    return []


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = [_image(file, root, left_out) for file in files]
    report_left_out(
        left_out,
        str(root),
        (
            "figure is of a type that is not read or encloses no area, and is",
            "figures are of types that are not read or enclose no area, and are",
        ),
    )
    purposes = {image.purpose for image in images}
    return images if None not in purposes else [_without_purpose(image) for image in images]


def _without_purpose(image: ImageAnnotation) -> ImageAnnotation:
    return ImageAnnotation(image.name, image.boxes, image.size)


def _image(file: Path, root: Path, left_out: Counter[str]) -> ImageAnnotation:
    document = read_json(file)
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise InputError(f"{file}: expected an object with size and objects")
    boxes = [
        box
        for k, each in enumerate(document["objects"])
        if (box := _box(each, f"{file}: objects[{k}]", left_out))
    ]
    size = object_in(document, "size", str(file))
    height, width = (int(number(size.get(key) or 0, f"{file}: {key}")) for key in ("height", "width"))
    folder = file.parent.parent
    name = file.name[: -len(".json")]
    return ImageAnnotation(
        "/".join([*folder.relative_to(root).parts, "img", name]),
        tuple(boxes),
        (height, width),
        parse_purpose(folder.name) if folder != root else None,
    )


def _box(each: Any, where: str, left_out: Counter[str]) -> Box | None:
    if not isinstance(each, dict) or not isinstance(each.get("classTitle"), str):
        raise InputError(f"{where}: has no classTitle")
    kind = each.get("geometryType")
    points = object_in(each, "points", where).get("exterior")
    if kind == "bitmap":
        return Box(each["classTitle"], _bitmap_corners(object_in(each, "bitmap", where), f"{where}: bitmap"))
    if (
        not isinstance(kind, str)
        or kind not in _AREAS
        or not isinstance(points, list)
        or len(points) < _AREAS[kind]
    ):
        left_out[str(kind)[:40]] += 1
        return None
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise InputError(f"{where}: points: exterior: expected a list of [x, y]")
    return Box(
        each["classTitle"], bounding_corners([(number(x, where), number(y, where)) for x, y in points])
    )


def _bitmap_corners(bitmap: dict[str, Any], where: str) -> Corners:
    """The corners of a bitmap: its upper left one, and the size in the header of its PNG image, which is cut to the object."""
    try:
        packed = base64.b64decode(str(bitmap.get("data")), validate=True)
        head = zlib.decompressobj().decompress(packed, _PNG_HEADER.size)
        signature, width, height = _PNG_HEADER.unpack(head)
    except (ValueError, zlib.error, struct.error):
        signature = b""
    origin = list_in(bitmap, "origin", where)
    if signature != _PNG or len(origin) != 2:
        raise InputError(f"{where}: expected data, a packed PNG image, and origin, [x, y]")
    x, y = (number(value, f"{where}: origin") for value in origin)
    return x, y, x + width, y + height


EXPORT = Export(
    name="supervisely",
    summary="Supervisely: a JSON file for each image in ann/",
    source="docs.supervisely.com/data-organization/00_ann_format_navi",
    looks_for="JSON files with size and objects in ann/ or */ann/",
    files=_files,
    read=_read,
    images=("", "img"),
    per_image=True,
)
