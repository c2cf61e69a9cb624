"""VGG Image Annotator (VIA 1 and 2): a JSON file of images with regions, or the project that holds it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    ellipse_corners,
    file_purpose,
    find_files,
    folder_prefix,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, object_in
from metrics.formats.untrusted import read_head, read_json
from metrics.notes import Note, report

_CLASS_ATTRIBUTES = ("class", "label", "name", "type", "category", "object")
Entry = tuple[str, Any]
"""The place of an image in a file for messages, and its entry."""

_ONLY_CLASS = "object"
"""Class of regions without any attribute."""


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), _is_via)


def _is_via(file: Path) -> bool:
    head = read_head(file)
    return head.startswith(b"{") and (
        b'"_via_img_metadata"' in head or (b'"filename"' in head and b'"regions"' in head)
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        document = read_json(file)
        document = document.get("_via_img_metadata", document) if isinstance(document, dict) else document
        if not isinstance(document, dict):
            raise InputError(f"{file}: expected an object with an entry for each image")
        entries = [(f"{file}: {key[:60]}", entry) for key, entry in document.items()]
        folder = folder_prefix(file, root)
        images += read_entries(entries, file, folder, file_purpose(file, root, files))
    return images


def read_entries(
    entries: Sequence[Entry], file: Path, folder: str, purpose: str | None
) -> list[ImageAnnotation]:
    """The images of one file.

    Args:
        entries: the place of each image for messages, and its filename and regions.
        file: the file.
        folder: of the images, with a slash at its end; empty for that of the file.
        purpose: the split.

    Raises:
        InputError: an entry is invalid, or the attribute that is the class is unknown.
    """
    left_out: Counter[str] = Counter()
    attribute = _class_attribute(
        [region for where, entry in entries for region in _regions(entry, where)], file
    )
    images = []
    for where, entry in entries:
        boxes = [
            Box(_label(region, attribute, f"{where}: region {k}"), corners)
            for k, region in enumerate(_regions(entry, where))
            if (corners := _corners(region, f"{where}: region {k}", left_out)) is not None
        ]
        images.append(ImageAnnotation(folder + str(entry["filename"]), tuple(boxes), purpose=purpose))
    report_left_out(
        left_out, str(file), ("region encloses no area and is", "regions enclose no area and are")
    )
    return images


def _regions(entry: Any, where: str) -> list[dict[str, Any]]:
    """The regions of an image; a list in VIA 2, an object with keys 0, 1, ... in VIA 1."""
    if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
        raise InputError(f"{where}: has no filename")
    regions = entry.get("regions") or []
    values = list(regions.values()) if isinstance(regions, dict) else regions
    if not isinstance(values, list) or not all(isinstance(region, dict) for region in values):
        raise InputError(f"{where}: regions: expected a list of regions")
    return values


def _class_attribute(regions: Sequence[dict[str, Any]], file: Path) -> str:
    """The attribute of regions that is their class: the only one, or one that is called so; empty if none has any."""
    names: list[str] = list(
        dict.fromkeys(
            name for region in regions for name in object_in(region, "region_attributes", str(file))
        )
    )
    if len(names) < 2:
        if not names and regions:
            text = f"{file}: regions have no attributes; all are of one class, {_ONLY_CLASS!r}"
            report(Note("made_names", text, str(file), {"classes": 1}))
        return names[0] if names else ""
    chosen = [name for known in _CLASS_ATTRIBUTES for name in names if name.lower() == known]
    if not chosen:
        raise InputError(
            f"{file}: regions have the attributes {', '.join(names)}; rename the one that is the class to 'class'"
        )
    text = f"{file}: of the attributes {', '.join(names)} of regions, {chosen[0]!r} is the class; others are not read"
    report(Note("class_attribute", text, chosen[0]))
    return chosen[0]


def _label(region: dict[str, Any], attribute: str, where: str) -> str:
    if not attribute:
        return _ONLY_CLASS
    value = object_in(region, "region_attributes", where).get(attribute)
    if isinstance(value, dict):  # check boxes
        chosen = [key for key, on in value.items() if on]
        value = chosen[0] if len(chosen) == 1 else None
    if not isinstance(value, str) or not value.strip() or value == "undefined":
        raise InputError(
            f"{where}: {attribute}: expected one class, got {json.dumps(value)[:60]}; name it, or remove the region"
        )
    return str(value)


def _corners(region: dict[str, Any], where: str, left_out: Counter[str]) -> Corners | None:
    shape = object_in(region, "shape_attributes", where)
    kind = shape.get("name")

    def values(*keys: str) -> list[float]:
        return [number(shape.get(key), f"{where}: {key}") for key in keys]

    if kind == "rect":
        x, y, w, h = values("x", "y", "width", "height")
        return x, y, x + w, y + h
    if kind == "polygon":
        xs, ys = (list_in(shape, key, where) for key in ("all_points_x", "all_points_y"))
        points = [(number(x, where), number(y, where)) for x, y in zip(xs, ys, strict=False)]
        if len(points) > 2:
            return bounding_corners(points)
    if kind == "circle":
        x, y, r = values("cx", "cy", "r")
        return x - r, y - r, x + r, y + r
    if kind == "ellipse":
        x, y, a, b = values("cx", "cy", "rx", "ry")
        radians = number(shape.get("theta") or 0, f"{where}: theta")
        return ellipse_corners((x, y), (a, b), math.degrees(radians))
    left_out[str(kind)[:40]] += 1
    return None


EXPORT = Export(
    name="via",
    summary="VGG Image Annotator: a JSON file of images with regions",
    source="robots.ox.ac.uk/~vgg/software/via",
    looks_for="a JSON object of images with filename and regions",
    files=_files,
    read=_read,
    images=("", "images"),
)
