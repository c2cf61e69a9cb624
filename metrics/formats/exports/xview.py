"""xView: GeoJSON of features with a box in pixels of an image, and a class number whose name is in a text file beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder, visible_files
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    four_numbers,
    report_left_out,
)
from metrics.formats.json_members import object_in, objects_in
from metrics.formats.untrusted import read_head, read_json, read_text, refuse_binary
from metrics.notes import Note, report
from metrics.plurals import plural

_KEY = b'"bounds_imcoords"'
_NAMED = re.compile(r"(\d+):(.+)")


def _files(path: Path) -> list[Path]:
    patterns = ("*.geojson", "*/*.geojson", "*.json")
    return find_files(path, "json", patterns, lambda file: _KEY in read_head(file))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    names = _names(top)
    left_out: Counter[str] = Counter()
    images = []
    used: set[str] = set()
    for file in files:
        document = read_json(file)
        if not isinstance(document, dict):
            raise InputError(f"{file}: expected a FeatureCollection with features")
        boxes: dict[str, list[Box]] = {}
        for k, feature in enumerate(objects_in(document, "features", str(file))):
            where = f"{file}: features[{k}]"
            properties = object_in(feature, "properties", where)
            image, number_of_class = properties.get("image_id"), str(properties.get("type_id"))
            if not isinstance(image, str) or not image:
                raise InputError(f"{where}: image_id: expected the name of the image's file")
            if names and number_of_class not in names:
                left_out[f"class {number_of_class[:20]}"] += 1
                boxes.setdefault(image, [])
                continue
            used.add(number_of_class)
            label = names.get(number_of_class, number_of_class)
            boxes.setdefault(image, []).append(Box(label, _corners(properties, where)))
        purpose = file_purpose(file, root, files)
        images += [ImageAnnotation(name, tuple(of), purpose=purpose) for name, of in boxes.items()]
    report_left_out(
        left_out,
        str(root),
        (
            "feature has no name in the list of classes and is",
            "features have no name in the list of classes and are",
        ),
    )
    if not names and used:
        text = f"{root}: {plural(len(used), 'class has its number as name', 'classes have their numbers as names')}; write lines such as 11:Fixed-wing Aircraft into xview_class_labels.txt"
        report(Note("made_names", text, str(root), {"classes": len(used)}))
    return images


def _names(root: Path) -> Mapping[str, str]:
    """The names of classes by their numbers, of the first text file with lines ``number:name`` alone; empty if there is none."""
    for file in visible_files(root, "*.txt"):
        refuse_binary(file)
        if not _NAMED.fullmatch(read_head(file, 200).decode("utf-8", "replace").partition("\n")[0].strip()):
            continue
        lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
        found = [_NAMED.fullmatch(line) for line in lines]
        return {match[1]: match[2].strip() for match in found if match is not None}
    return {}


def _corners(properties: Mapping[str, Any], where: str) -> Corners:
    values = str(properties.get("bounds_imcoords")).split(",")
    return four_numbers(values, f"{where}: bounds_imcoords", "x1,y1,x2,y2")


EXPORT = Export(
    name="xview",
    summary="xView: GeoJSON of features with boxes in pixels",
    source="Lam et al. 2018, arXiv:1802.07856",
    looks_for="a GeoJSON file with bounds_imcoords",
    files=_files,
    read=_read,
    images=("", "images", "train_images"),
)
