"""Labelbox: an object per data row, as NDJSON (version 2) or a JSON list (version 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    bounding_corners,
    file_purpose,
    find_files,
    number,
    report_left_out,
    without_partial_purposes,
)
from metrics.formats.json_members import list_in, object_in, objects_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_json, read_json_lines


def _files(path: Path) -> list[Path]:
    return find_files(path, "", ("*.ndjson", "*.jsonl", "*.json", "*/*.ndjson", "*/*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return (b'"data_row"' in head and b'"projects"' in head) or (
        b'"Labeled Data"' in head and b'"Label"' in head
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = [
        _image(row, where, file_purpose(file, root, files), left_out)
        for file in files
        for where, row in _rows(file)
    ]
    report_left_out(
        left_out,
        str(root),
        ("object is not a box or polygon and is", "objects are not boxes or polygons and are"),
    )
    return without_partial_purposes(images)


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    if read_head(file, 16).startswith(b"["):
        rows = read_json(file)
        yield from ((f"{file}: [{k}]", row) for k, row in enumerate(rows))
    else:
        yield from read_json_lines(file)


def _image(row: Any, where: str, purpose: str | None, left_out: Counter[str]) -> ImageAnnotation:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object for a data row")
    if "data_row" not in row:
        name = row.get("External ID") or row.get("Labeled Data")
        objects, size = objects_in(object_in(row, "Label", where), "objects", where), {}
    else:
        data = object_in(row, "data_row", where)
        name = data.get("external_id") or data.get("global_key") or data.get("row_data")
        size = object_in(row, "media_attributes", where)
        purpose = parse_purpose(str(data.get("split") or "")) or purpose
        objects = [
            each
            for project in object_in(row, "projects", where).values()
            if isinstance(project, dict)
            for label in objects_in(project, "labels", where)[:1]
            for each in objects_in(object_in(label, "annotations", where), "objects", where)
        ]
    if not isinstance(name, str):
        raise InputError(f"{where}: has no external_id; expected the name of the image's file")
    boxes = [box for k, each in enumerate(objects) if (box := _box(each, f"{where}: objects[{k}]", left_out))]
    height, width = (int(number(size.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    return ImageAnnotation(name, tuple(boxes), (height, width), purpose)


def _box(each: dict[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    label = next((each[key] for key in ("name", "title", "value") if isinstance(each.get(key), str)), "")
    if not label:
        raise InputError(f"{where}: has no name")
    box = object_in(each, "bounding_box", where) or object_in(each, "bbox", where)
    if box:
        x, y, w, h = (number(box.get(key), f"{where}: {key}") for key in ("left", "top", "width", "height"))
        return Box(label, (x, y, x + w, y + h))
    points = [point for point in list_in(each, "polygon", where) if isinstance(point, dict)]
    if len(points) < 3:
        left_out[str(each.get("annotation_kind") or "without box")[:40]] += 1
        return None
    return Box(
        label, bounding_corners([(number(p.get("x"), where), number(p.get("y"), where)) for p in points])
    )


EXPORT = Export(
    name="labelbox",
    summary="Labelbox: NDJSON of data rows, or its older JSON list",
    source="docs.labelbox.com/reference/export-image-annotations",
    looks_for="NDJSON with data_row and projects",
    files=_files,
    read=_read,
    images=("", "images"),
)
