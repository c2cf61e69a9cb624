"""Datumaro, also of CVAT: ``annotations/<subset>.json`` with items, images in ``images/<subset>``."""

from __future__ import annotations

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
    file_purpose,
    find_files,
    four_numbers,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, object_in, objects_in
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_head, read_json
from metrics.plurals import agree, plural

_NO_AREA = ("label", "caption")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("annotations/*.json", "*.json"), _is_datumaro)


def _is_datumaro(file: Path) -> bool:
    head = read_head(file)
    return (
        head.startswith(b"{") and b'"items"' in head and b'"categories"' in head and b'"images"' not in head
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = []
    for file in files:
        document = read_json(file)
        if not isinstance(document, dict) or not {"categories", "items"} <= set(document):
            raise InputError(f"{file}: expected categories with labels, and items")
        of_labels = object_in(object_in(document, "categories", str(file)), "label", f"{file}: categories")
        labels = objects_in(of_labels, "labels", f"{file}: categories: label")
        items = list_in(document, "items", str(file))
        names = [str(label.get("name")) for label in labels]
        purpose = file_purpose(file, root, files)
        images += [
            _image(item, f"{file}: items[{k}]", names, purpose, left_out) for k, item in enumerate(items)
        ]
    report_left_out(
        left_out,
        str(root),
        (
            "annotation is of a type that is not read and is",
            "annotations are of types that are not read and are",
        ),
    )
    return images


def _image(
    item: Any, where: str, names: Sequence[str], purpose: str | None, left_out: Counter[str]
) -> ImageAnnotation:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise InputError(f"{where}: has no id; expected the image's path without suffix")
    boxes = []
    for k, each in enumerate(objects_in(item, "annotations", where)):
        place = f"{where}: annotations[{k}]"
        kind = str(each.get("type"))
        corners = _corners(each, kind, place)
        if corners is None:
            if kind not in _NO_AREA:
                left_out[kind[:40]] += 1
            continue
        index = each.get("label_id")
        if not isinstance(index, int) or not 0 <= index < len(names):
            raise InputError(
                f"{place}: label_id {index!r}, but there {agree(len(names), 'is', 'are')} {plural(len(names), 'label')}"
            )
        attributes = object_in(each, "attributes", place)
        boxes.append(
            Box(names[index], corners, crowd=bool(attributes.get("is_crowd")), score=score_in(attributes))
        )
    image = object_in(item, "image", where)
    size = list_in(image, "size", where) or [0, 0]
    if len(size) != 2:
        raise InputError(f"{where}: size: expected two numbers [height, width]")
    name = image.get("path")
    return ImageAnnotation(
        name if isinstance(name, str) else "",
        tuple(boxes),
        (int(number(size[0], where)), int(number(size[1], where))),
        purpose,
        "" if name else item["id"],
    )


def _corners(each: dict[str, Any], kind: str, place: str) -> Corners | None:
    if kind == "bbox":
        x, y, w, h = four_numbers(each.get("bbox"), f"{place}: bbox")
        return x, y, x + w, y + h
    if kind == "ellipse":
        return four_numbers(each.get("points"), f"{place}: points", "[x1, y1, x2, y2]")
    if kind == "polygon":
        points = [number(value, place) for value in list_in(each, "points", place)]
        if len(points) > 5 and not len(points) % 2:
            return bounding_corners(list(zip(points[::2], points[1::2], strict=True)))
    return None


EXPORT = Export(
    name="datumaro",
    summary="Datumaro's JSON, also from CVAT",
    source="openvinotoolkit.github.io/datumaro",
    looks_for="a JSON file with categories and items in annotations/",
    files=_files,
    read=_read,
    images=("images", "images/default", "images/train", "images/val", "images/test", ""),
)
