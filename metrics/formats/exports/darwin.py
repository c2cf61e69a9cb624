"""V7 Darwin: one JSON file per image, with ``item`` (version 2) or ``image`` (version 1) and ``annotations``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    ellipse_corners,
    find_files,
    number,
    report_left_out,
    without_partial_purposes,
)
from metrics.formats.json_members import list_in, object_in, objects_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_head, read_json

_TRIED = 20


def _files(path: Path) -> list[Path]:
    patterns = (
        "*.json",
        "annotations/*.json",
        "*/*.json",
        "releases/*/annotations/*.json",
        "*/annotations/*.json",
    )
    return find_files(path, ".json", patterns, _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return (b'"slots"' in head and b'"item"' in head) or (
        b'"original_filename"' in head and b'"image"' in head
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    left_out: Counter[str] = Counter()
    images = [_image(file, top, left_out) for file in files]
    report_left_out(
        left_out,
        str(root),
        ("annotation encloses no area and is", "annotations enclose no area and are"),
    )
    return without_partial_purposes(images)


def _image(file: Path, root: Path, left_out: Counter[str]) -> ImageAnnotation:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict) or not isinstance(document.get("annotations"), list):
        raise InputError(
            f"{where}: expected an object with item and a list annotations; export the file again"
        )
    item = object_in(document, "item", where) or object_in(document, "image", where)
    slot = (objects_in(item, "slots", where) or [item])[0]
    name = next(
        (item[key] for key in ("name", "original_filename", "filename") if isinstance(item.get(key), str)), ""
    )
    if not name:
        raise InputError(f"{where}: item: has no name of the image's file")
    folder = str(item.get("path") or "").strip("/")
    boxes = [
        box
        for k, each in enumerate(objects_in(document, "annotations", where))
        if (box := _box(each, f"{where}: annotations[{k}]", left_out))
    ]
    height, width = (int(number(slot.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    parts = [*file.relative_to(root).parts[:-1], *folder.split("/")]
    purpose = folder_purpose(parts)
    return ImageAnnotation(f"{folder}/{name}" if folder else name, tuple(boxes), (height, width), purpose)


def _box(each: dict[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    label = text_in(each, "name", where)
    score = score_in(object_in(each, "inference", where))
    box = object_in(each, "bounding_box", where)
    if box:
        x, y, w, h = (number(box.get(key), f"{where}: bounding_box: {key}") for key in ("x", "y", "w", "h"))
        return Box(label, (x, y, x + w, y + h), score=score)
    polygon = object_in(each, "polygon", where)
    rings = [ring for ring in list_in(polygon, "paths", where) if isinstance(ring, list)]
    points = list_in(polygon, "path", where) or [point for ring in rings for point in ring]
    if "ellipse" in each:
        return Box(label, _ellipse(object_in(each, "ellipse", where), f"{where}: ellipse"), score=score)
    if "cuboid" in each:
        return Box(label, _cuboid(object_in(each, "cuboid", where), f"{where}: cuboid"), score=score)
    if len(points) < 3 or not all(isinstance(point, dict) for point in points):
        kinds = [key for key in each if key in ("tag", "line", "keypoint", "skeleton")]
        left_out[kinds[0] if kinds else "without box"] += 1
        return None
    corners = bounding_corners([(number(p.get("x"), where), number(p.get("y"), where)) for p in points])
    return Box(label, corners, score=score)


def _ellipse(ellipse: dict[str, Any], where: str) -> Corners:
    """The box around an ellipse, whose angle is in radians."""
    (x, y), (a, b) = (
        [number(object_in(ellipse, key, where).get(axis), f"{where}: {key}: {axis}") for axis in ("x", "y")]
        for key in ("center", "radius")
    )
    return ellipse_corners((x, y), (a, b), math.degrees(number(ellipse.get("angle") or 0, f"{where}: angle")))


def _cuboid(cuboid: dict[str, Any], where: str) -> Corners:
    """The box around the front and the back of a cuboid."""
    points = []
    for face in ("front", "back"):
        side = object_in(cuboid, face, where)
        x, y, w, h = (number(side.get(key), f"{where}: {face}: {key}") for key in ("x", "y", "w", "h"))
        points += [(x, y), (x + w, y + h)]
    return bounding_corners(points)


EXPORT = Export(
    name="darwin",
    summary="V7 Darwin: a JSON file for each image",
    source="docs.v7labs.com/reference/darwin-json",
    looks_for="JSON files with item, slots and annotations",
    files=_files,
    read=_read,
    images=("", "images"),
    per_image=True,
)
