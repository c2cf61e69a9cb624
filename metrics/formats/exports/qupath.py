"""QuPath's GeoJSON: a file of features for each image, called like it, with shapes in pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from metrics.formats.json_members import object_in, objects_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json
from metrics.notes import Note, report
from metrics.plurals import plural

_TRIED = 20
_AREAS = ("Polygon", "MultiPolygon")
_REGIONS = ("tile", "tma_core", "root")
"""Types of objects that are parts of the slide, not what is in it."""
_UNCLASSIFIED = "object"


def _files(path: Path) -> list[Path]:
    patterns = ("*.geojson", "*.json", "*/*.geojson", "*/*.json")
    return find_files(path, "json", patterns, _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    feature = b'"geometry"' in head and b'"bounds_imcoords"' not in head
    return feature and any(
        key in head
        for key in (b'"objectType"', b'"object_type"', b'"PathAnnotationObject"', b'"classification"')
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    left_out: Counter[str] = Counter()
    images = [_image(file, top, left_out) for file in files]
    unclassified = left_out.pop(_UNCLASSIFIED, 0)
    if unclassified:
        text = f"{root}: {plural(unclassified, 'feature has', 'features have')} no classification: the class is {_UNCLASSIFIED!r}"
        report(Note("one_class", text, str(root), {"objects": unclassified}))
    report_left_out(
        left_out,
        str(root),
        ("feature is not an object with an area and is", "features are not objects with an area and are"),
    )
    return images


def _image(file: Path, top: Path, left_out: Counter[str]) -> ImageAnnotation:
    where = str(file)
    boxes = [box for place, feature in _features(file, where) if (box := _box(feature, place, left_out))]
    relative = file.relative_to(top)
    stem = "/".join([*relative.parts[:-1], file.stem])
    return ImageAnnotation("", tuple(boxes), purpose=folder_purpose(relative.parts[:-1]), stem=stem)


def _features(file: Path, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The features of a collection, of a list, or the only one."""
    document = read_json(file)
    if isinstance(document, list):
        document = {"features": document}
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected a FeatureCollection with features")
    if document.get("type") == "Feature":
        document = {"features": [document]}
    for k, feature in enumerate(objects_in(document, "features", where)):
        yield f"{where}: features[{k}]", feature


def _box(feature: Mapping[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    properties = object_in(feature, "properties", where)
    geometry = object_in(feature, "geometry", where)
    region = str(properties.get("objectType") or properties.get("object_type") or "")
    kind = str(geometry.get("type"))[:40]
    if region in _REGIONS or kind not in _AREAS:
        left_out[region if region in _REGIONS else kind] += 1
        return None
    label = properties.get("classification")
    if isinstance(label, dict):
        label = label.get("name")
    if not isinstance(label, str) or not label:
        left_out[_UNCLASSIFIED] += 1
        label = _UNCLASSIFIED
    points = list(_points(geometry.get("coordinates"), f"{where}: coordinates"))
    if len(points) < 3:
        raise InputError(f"{where}: coordinates: expected at least three points")
    return Box(label, bounding_corners(points))


def _points(value: Any, where: str) -> Iterator[tuple[float, float]]:
    """The points of rings, which may be in lists of lists."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected lists of [x, y]")
    if len(value) >= 2 and not isinstance(value[0], list):
        yield number(value[0], where), number(value[1], where)
        return
    for each in value:
        yield from _points(each, where)


EXPORT = Export(
    name="qupath",
    summary="QuPath: a GeoJSON file of features for each image",
    source="qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html",
    looks_for="GeoJSON files with geometry and classification",
    files=_files,
    read=_read,
    images=("", "images"),
    per_image=True,
)
