"""LabelMe and X-AnyLabeling: one JSON file of shapes per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    bounding_corners,
    find_files,
    number,
    report_left_out,
)
from metrics.formats.purpose import folder_purpose
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_json

_TRIED = 20
"""Number of JSON files that are looked at for one of LabelMe."""
_AREAS = {
    "rectangle": 2,
    "mask": 2,
    "polygon": 3,
    "rotation": 4,
    "quadrilateral": 4,
    "circle": 2,
    "cuboid": 4,
}
"""Shapes that enclose an area, and the least number of their points; those of a mask are the corners of its box."""


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json", "*/*/*.json"), _is_labelme, _TRIED)


def _is_labelme(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(4096)
        if b'"shapes"' not in head and b'"imagePath"' not in head:  # after the pixels, if they are embedded
            opened.seek(max(file.stat().st_size - 4096, 0))
            head += opened.read(4096)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and (
        b'"shapes"' in head and (b'"imagePath"' in head or b'"imageHeight"' in head or b'"imageData"' in head)
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    left_out: Counter[str] = Counter()
    images = [_image(file, top, left_out) for file in files]
    report_left_out(left_out, str(root), ("shape encloses no area and is", "shapes enclose no area and are"))
    return images


def _image(file: Path, root: Path, left_out: Counter[str]) -> ImageAnnotation:
    document = read_json(file)
    shapes = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(shapes, list):
        raise InputError(f"{file}: shapes: expected a list of shapes")
    boxes = [box for k, shape in enumerate(shapes) if (box := _box(shape, f"{file}: shapes[{k}]", left_out))]
    relative = file.relative_to(root)
    size = tuple(
        int(number(document.get(key) or 0, f"{file}: {key}")) for key in ("imageHeight", "imageWidth")
    )
    name = document.get("imagePath")
    purpose = folder_purpose(relative.parts[:-1])
    return ImageAnnotation(
        name if isinstance(name, str) else "",
        tuple(boxes),
        (size[0], size[1]),
        purpose,
        relative.with_suffix("").as_posix(),
    )


def _box(shape: Any, where: str, left_out: Counter[str]) -> Box | None:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
        raise InputError(f"{where}: has no label; name its class, or remove the shape")
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) >= 2 for point in points
    ):
        raise InputError(f"{where}: points: expected a list of [x, y]")
    if not isinstance(kind, str) or kind not in _AREAS or len(points) < _AREAS[kind]:
        left_out[str(kind)[:40]] += 1
        return None
    corners = bounding_corners([(number(point[0], where), number(point[1], where)) for point in points])
    if kind == "circle":
        (x, y), (u, v) = points[0][:2], points[1][:2]
        radius = float(((x - u) ** 2 + (y - v) ** 2) ** 0.5)
        corners = (x - radius, y - radius, x + radius, y + radius)
    return Box(shape["label"], corners, ignored=bool(shape.get("difficult")), score=score_in(shape))


EXPORT = Export(
    name="labelme",
    summary="a JSON file of shapes per image (LabelMe, X-AnyLabeling)",
    source="github.com/wkentaro/labelme",
    looks_for="JSON files with shapes and imagePath, in the folder or its folders",
    files=_files,
    read=_read,
    images=("", "images", "JPEGImages"),
    per_image=True,
)
