"""Dataloop: a JSON file for each item, with ``filename`` and ``annotations`` of several types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    bounding_corners,
    ellipse_corners,
    find_files,
    number,
    report_left_out,
    without_partial_purposes,
)
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json

_TRIED = 20
_AREAS = {"box": 2, "segment": 3}
"""Types that are lists of points, and the fewest of these that enclose an area."""


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("json/**/*.json", "*/json/**/*.json", "*.json"), _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return (
        (b'"filename"' in head and b'"annotations"' in head)
        and (b'"datasetId"' in head or b'"coordinates"' in head)
        and not head.lstrip().startswith(b"[")
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = [_image(file, left_out) for file in files]
    report_left_out(
        left_out, str(root), ("annotation encloses no area and is", "annotations enclose no area and are")
    )
    return without_partial_purposes(images)


def _image(file: Path, left_out: Counter[str]) -> ImageAnnotation:
    document = read_json(file)
    name = document.get("filename") if isinstance(document, dict) else None
    if not isinstance(name, str) or not name.strip("/"):
        raise InputError(f"{file}: has no filename")
    boxes = [
        box
        for k, each in enumerate(objects_in(document, "annotations", str(file)))
        if (box := _box(each, f"{file}: annotations[{k}]", left_out))
    ]
    system = object_in(object_in(document, "metadata", str(file)), "system", f"{file}: metadata")
    height, width = (int(number(system.get(key) or 0, f"{file}: {key}")) for key in ("height", "width"))
    purpose = folder_purpose(name.strip("/").split("/")[:-1])
    return ImageAnnotation(name.lstrip("/"), tuple(boxes), (height, width), purpose)


def _box(each: Mapping[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    label, kind = text_in(each, "label", where), str(each.get("type"))[:40]
    if kind == "ellipse":
        at = object_in(each, "coordinates", where)
        centre = object_in(at, "center", where) or at
        x, y = (number(centre.get(key), f"{where}: {key}") for key in ("x", "y"))
        a, b = (number(at.get(key), f"{where}: {key}") for key in ("rx", "ry"))
        return Box(label, ellipse_corners((x, y), (a, b), number(at.get("angle") or 0, f"{where}: angle")))
    points = list(_points(each.get("coordinates"), where)) if kind in _AREAS else []
    if len(points) < _AREAS.get(kind, 1):
        left_out[kind] += 1
        return None
    return Box(label, bounding_corners(points))


def _points(value: Any, where: str) -> Iterator[tuple[float, float]]:
    """The points of coordinates, which for polygons are a list of rings."""
    if not isinstance(value, list):
        raise InputError(f"{where}: coordinates: expected a list of points")
    for each in value:
        if isinstance(each, list):
            yield from _points(each, where)
        elif isinstance(each, dict):
            yield number(each.get("x"), f"{where}: x"), number(each.get("y"), f"{where}: y")
        else:
            raise InputError(f"{where}: coordinates: expected points with x and y, got {str(each)[:40]!r}")


EXPORT = Export(
    name="dataloop",
    summary="Dataloop: a JSON file for each item",
    source="developers.dataloop.ai (annotation schema)",
    looks_for="JSON files with filename, datasetId and annotations in json/",
    files=_files,
    read=_read,
    images=("items", "images", ""),
    per_image=True,
)
