"""VoTT: a JSON export with all assets and their regions, or a file ``<id>-asset.json`` for each image."""

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
    folder_prefix,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, object_in, objects_in
from metrics.formats.untrusted import read_head, read_json

_VIDEO_FRAME = 3
"""Type of an asset that is a frame of a video, whose image VoTT does not store under the asset's name."""


def _files(path: Path) -> list[Path]:
    patterns = ("vott-json-export/*.json", "*.json", "*/*.json")
    return find_files(path, ".json", patterns, _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"regions"' in head and (b'"assets"' in head or b'"asset"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images: dict[str, ImageAnnotation] = {}
    for file in _without_repeated(files):
        folder = folder_prefix(file, root)
        for where, entry in _entries(file):
            image = _image(entry, where, folder, file_purpose(file, root, files), left_out)
            if image is not None:
                images[where] = image
    report_left_out(left_out, str(root))
    return list(images.values())


def _without_repeated(files: Sequence[Path]) -> Sequence[Path]:
    """The exports of whole projects if there are any: the same folder has a file of each asset as well."""
    return [file for file in files if not file.name.endswith("-asset.json")] or files


def _entries(file: Path) -> Iterator[tuple[str, Any]]:
    """The place and the entry of each asset."""
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{file}: expected an object with assets, or with asset and regions")
    if "asset" in document:
        yield str(file), document
        return
    for key, entry in object_in(document, "assets", str(file)).items():
        yield f"{file}: assets: {key[:60]}", entry


def _image(
    entry: Any, where: str, folder: str, purpose: str | None, left_out: Counter[str]
) -> ImageAnnotation | None:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with asset and regions")
    asset = object_in(entry, "asset", where)
    name = asset.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: asset: has no name of the image's file")
    if asset.get("type") == _VIDEO_FRAME:
        left_out["frames of videos"] += 1
        return None
    boxes = [
        box
        for k, region in enumerate(objects_in(entry, "regions", where))
        for box in _boxes(region, f"{where}: regions[{k}]", left_out)
    ]
    size = object_in(asset, "size", where)
    height, width = (int(number(size.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    return ImageAnnotation(folder + name, tuple(boxes), (height, width), purpose)


def _boxes(region: dict[str, Any], where: str, left_out: Counter[str]) -> Iterator[Box]:
    """The box of a region, of its first tag: its bounding box, or else the one around its points; none without a tag or an area."""
    tags = list_in(region, "tags", where)
    if not all(isinstance(tag, str) and tag for tag in tags):
        raise InputError(f"{where}: tags: expected names of classes")
    if not tags:
        left_out["regions without a tag"] += 1
    if len(tags) > 1:
        left_out["tags after the first of a region, which is its class"] += len(tags) - 1
    box = object_in(region, "boundingBox", where)
    if box:
        x, y, w, h = (number(box.get(key), f"{where}: {key}") for key in ("left", "top", "width", "height"))
        corners = (x, y, x + w, y + h)
    else:
        points = objects_in(region, "points", where)
        if len(points) < 3:
            left_out["regions without an area"] += 1
            return
        corners = bounding_corners(
            [(number(point.get("x"), where), number(point.get("y"), where)) for point in points]
        )
    for tag in tags[:1]:
        yield Box(tag, corners)


EXPORT = Export(
    name="vott",
    summary="VoTT: a JSON export of assets, or a file for each of them",
    source="github.com/microsoft/VoTT",
    looks_for="JSON files with assets (or asset) and regions",
    files=_files,
    read=_read,
    images=("", "images"),
    per_image=True,
)
