"""SuperAnnotate: one JSON file per image with ``metadata`` and ``instances``, or one object with all images as its keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json

_TRIED = 20


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json", "*/*/*.json"), _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"instances"' in head and (b'"className"' in head or b'"metadata"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    left_out: Counter[str] = Counter()
    images = [
        _image(name, document, where, file, top, left_out)
        for file in files
        for name, document, where in _items(file)
    ]
    report_left_out(
        left_out,
        str(root),
        ("instance is not a box or polygon and is", "instances are not boxes or polygons and are"),
    )
    return without_partial_purposes(images)


def _items(file: Path) -> Iterator[tuple[str, Any, str]]:
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{file}: expected an object with metadata and instances")
    if "instances" in document:
        own = file.name.removesuffix(".json").removesuffix("___objects")
        yield own, document, str(file)
    else:
        for name, item in document.items():
            if not name.startswith("___"):
                yield name, item, f"{file}: {name[:60]}"


def _image(
    name: str, document: Any, where: str, file: Path, root: Path, left_out: Counter[str]
) -> ImageAnnotation:
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with metadata and instances")
    metadata = object_in(document, "metadata", where)
    written = metadata.get("name")
    boxes = [
        box
        for k, each in enumerate(objects_in(document, "instances", where))
        if (box := _box(each, f"{where}: instances[{k}]", left_out))
    ]
    height, width = (int(number(metadata.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    folders = file.relative_to(root).parts[:-1]
    purpose = folder_purpose(folders)
    name = written if isinstance(written, str) and written else name
    return ImageAnnotation("/".join([*folders, name]), tuple(boxes), (height, width), purpose)


def _box(each: dict[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    kind, points = each.get("type"), each.get("points")
    if kind == "tag":
        left_out["tag"] += 1
        return None
    label = text_in(each, "className", where)
    corners: Corners | None = None
    if kind in ("bbox", "rbbox") and isinstance(points, dict):
        pairs = [(points.get(f"x{k}"), points.get(f"y{k}")) for k in range(1, 5 if kind == "rbbox" else 3)]
        corners = bounding_corners(
            [(number(x, f"{where}: points"), number(y, f"{where}: points")) for x, y in pairs]
        )
    elif kind == "polygon" and isinstance(points, list) and len(points) >= 6 and not len(points) % 2:
        values = [number(value, f"{where}: points") for value in points]
        corners = bounding_corners(list(zip(values[::2], values[1::2], strict=True)))
    elif kind == "ellipse":
        x, y, a, b = (number(each.get(key), f"{where}: {key}") for key in ("cx", "cy", "rx", "ry"))
        corners = ellipse_corners((x, y), (a, b), number(each.get("angle") or 0, f"{where}: angle"))
    elif kind == "cuboid":
        faces = object_in(each, "points", where)
        at = [object_in(faces, face, f"{where}: points") for face in ("f1", "f2", "r1", "r2")]
        corners = bounding_corners(
            [tuple(number(point.get(axis), f"{where}: points: {axis}") for axis in "xy") for point in at]
        )
    if corners is None:
        left_out[str(kind)[:40]] += 1
        return None
    return Box(label, corners)


EXPORT = Export(
    name="superannotate",
    summary="SuperAnnotate: a JSON file for each image, or one for all",
    source="doc.superannotate.com/docs/vector-json",
    looks_for="JSON files with metadata and instances",
    files=_files,
    read=_read,
    images=("", "images"),
    per_image=True,
)
