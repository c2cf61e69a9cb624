"""VGG Image Annotator 3: a JSON project of files, views of them, and metadata with shapes as lists of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from metrics.errors import InputError
from metrics.formats.exports.via import Entry, read_entries
from metrics.formats.image_annotations import (
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    folder_prefix,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, object_in
from metrics.formats.untrusted import read_head, read_json
from metrics.plurals import plural

_SHAPES: Mapping[int, tuple[str, tuple[str, ...]]] = {
    1: ("point", ("cx", "cy")),
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
    5: ("line", ()),
    6: ("polyline", ()),
    7: ("polygon", ()),
    8: ("polygon", ()),  # a rectangle by its four extreme points
    9: ("extreme circle", ()),
}
"""What a shape's number stands for in VIA 2, and the names of its numbers there; none where they are points."""
_IMAGE = 2
"""Type of a file that is an image; the others are videos and audio."""


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return head.startswith(b"{") and all(key in head for key in (b'"vid_list"', b'"attribute"', b'"file"'))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        document = read_json(file)
        if not isinstance(document, dict):
            raise InputError(f"{file}: expected a project with file, view and metadata")
        folder = folder_prefix(file, root)
        images += read_entries(_entries(document, file), file, folder, file_purpose(file, root, files))
    return images


def _entries(document: dict[str, Any], file: Path) -> list[Entry]:
    """The images of a project as those of VIA 2."""
    where = str(file)
    attributes = object_in(document, "attribute", where)
    names = _image_names(object_in(document, "file", where), where)
    views = object_in(document, "view", where)
    left_out: Counter[str] = Counter()
    regions: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for key, row in object_in(document, "metadata", where).items():
        place = f"{where}: metadata: {key[:60]}"
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected an object with vid, xy and av")
        shape = list_in(row, "xy", place)
        name = names.get(_file_of_view(views, row.get("vid"), place))
        if not shape or name is None:
            left_out["segments in time" if shape == [] else "regions of videos"] += 1
            continue
        regions[name].append(
            {
                "shape_attributes": _shape(shape, place),
                "region_attributes": {
                    attribute: value
                    for of, written in object_in(row, "av", place).items()
                    for attribute, value in [_value(attributes, of, written, place)]
                },
            }
        )
    report_left_out(left_out, where)
    return [(f"{where}: {name[:60]}", {"filename": name, "regions": of}) for name, of in regions.items()]


def _image_names(files: dict[str, Any], where: str) -> dict[str, str]:
    """The name of each file that is an image, by its id."""
    names = {}
    for key, row in files.items():
        place = f"{where}: file: {key[:60]}"
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected an object with fname and type")
        name = row.get("fname") or row.get("src")
        if not isinstance(name, str) or not name:
            raise InputError(f"{place}: fname: has no name of the image's file")
        if row.get("type", _IMAGE) == _IMAGE:
            names[key] = urlsplit(name).path if "://" in name[:10] else name
    return names


def _file_of_view(views: dict[str, Any], view: Any, where: str) -> str:
    """The id of the one file that a view shows."""
    shown = list_in(object_in(views, str(view), where), "fid_list", where)
    if len(shown) != 1:
        raise InputError(f"{where}: vid {str(view)[:40]!r}: expected a view of one file, got {len(shown):,}")
    return str(shown[0])


def _shape(numbers: Sequence[Any], where: str) -> dict[str, Any]:
    kind, *values = (number(value, f"{where}: xy") for value in numbers)
    name, keys = _SHAPES.get(int(kind), (f"shape {kind:g}", ()))
    if keys:
        if len(values) != len(keys):
            raise InputError(
                f"{where}: xy: expected {plural(len(keys), 'number')} of a {name}, got {len(values):,}"
            )
        return {"name": name, **dict(zip(keys, values, strict=True))}
    return {"name": name, "all_points_x": values[::2], "all_points_y": values[1::2]}


def _value(attributes: dict[str, Any], key: str, written: Any, where: str) -> tuple[str, Any]:
    """The name of an attribute, and its value: text, or the names of the options that are chosen."""
    attribute = object_in(attributes, key, where)
    name = str(attribute.get("aname") or key)
    options = object_in(attribute, "options", where)
    if not options or not isinstance(written, str):
        return name, written
    if written in options:
        return name, options[written]
    return name, {str(options.get(each, each)): True for each in written.split(",")}  # check boxes


EXPORT = Export(
    name="via_3",
    summary="VGG Image Annotator 3: a JSON project of files, views and metadata",
    source="robots.ox.ac.uk/~vgg/software/via",
    looks_for="a JSON object with file, view, attribute and metadata",
    files=_files,
    read=_read,
    images=("", "images"),
)
