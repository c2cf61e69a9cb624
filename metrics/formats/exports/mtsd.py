"""Mapillary Traffic Sign Dataset: ``annotations/*.json`` with ``objects`` of ``bbox`` and ``properties``, and lists in ``splits``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    find_files,
    image_folders,
    number,
    without_partial_purposes,
)
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_json, read_text
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_TRIED = 20
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_CROSSING = "cross_boundary"
"""Boxes of signs at the border of a panorama, in two parts."""


def _files(path: Path) -> list[Path]:
    patterns = ("annotations/*.json", "*/annotations/*.json", "*/*/annotations/*.json", "*.json")
    return find_files(path, ".json", patterns, _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"ispano"' in head and b'"objects"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    purposes = {
        name.strip(): parse_purpose(listed.stem)
        for folder in dict.fromkeys(file.parent.parent for file in files)
        for listed in sorted((folder / "splits").glob("*.txt"))
        for name in read_text(listed).splitlines()
    }
    images = [_image(file, top, purposes.get(file.stem)) for file in files]
    ignored = sum(box.ignored for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'sign')} marked as ambiguous or as dummy, or at the border of a panorama, {agree(ignored, 'is', 'are')} ignored"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return without_partial_purposes(images)


def _image(file: Path, top: Path, purpose: str | None) -> ImageAnnotation:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise InputError(f"{where}: expected an object with width, height and a list objects")
    height, width = (int(number(document.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    boxes = tuple(
        box
        for k, each in enumerate(objects_in(document, "objects", where))
        for box in _boxes(each, f"{where}: objects[{k}]")
    )
    folders = image_folders(file, top)
    return ImageAnnotation("", boxes, (height, width), purpose, "/".join([*folders, file.stem]))


def _boxes(each: Mapping[str, Any], where: str) -> list[Box]:
    """The box of a sign; of one that the border of a panorama divides, its two parts, which are ignored."""
    label, box = text_in(each, "label", where), object_in(each, "bbox", where)
    crossing = object_in(box, _CROSSING, f"{where}: bbox")
    if crossing:
        parts = [object_in(crossing, key, f"{where}: bbox: {_CROSSING}") for key in crossing]
        return [Box(label, _corners(part, where), ignored=True) for part in parts]
    properties = object_in(each, "properties", where)
    return [
        Box(label, _corners(box, where), ignored=bool(properties.get("ambiguous") or properties.get("dummy")))
    ]


def _corners(box: Mapping[str, Any], where: str) -> Corners:
    x1, y1, x2, y2 = (number(box.get(side), f"{where}: bbox: {side}") for side in _SIDES)
    return x1, y1, x2, y2


EXPORT = Export(
    name="mtsd",
    summary="Mapillary Traffic Sign Dataset: a JSON file of signs for each image",
    source="Ertler et al. 2020, arXiv:1909.04422; mapillary.com/dataset/trafficsign",
    looks_for="JSON files with ispano and objects in annotations/",
    files=_files,
    read=_read,
    images=("images", ""),
    per_image=True,
)
