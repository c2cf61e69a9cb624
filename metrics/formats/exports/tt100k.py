"""Tsinghua-Tencent 100K: a JSON object with ``imgs``, whose objects have a box of named corners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    find_files,
    number,
)
from metrics.formats.image_search import spellings
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _files(path: Path) -> list[Path]:
    patterns = (
        "annotations_all.json",
        "annotations.json",
        "*.json",
        "*/annotations_all.json",
        "*/annotations.json",
    )
    return find_files(path, ".json", patterns, _is_ours)[:1]


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return head.startswith(b"{") and b'"path"' in head and b'"objects"' in head and b'"xmin"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        document = read_json(file)
        if not isinstance(document, dict) or not isinstance(document.get("imgs"), dict):
            raise InputError(f"{file}: imgs: expected an object with an entry for each image")
        images += [_image(row, f"{file}: imgs: {key[:60]}") for key, row in document["imgs"].items()]
    return _of_splits(images, root)


def _of_splits(images: list[ImageAnnotation], root: Path) -> list[ImageAnnotation]:
    """Without the images of the folder ``other``, if the others are in folders of splits: the benchmark does not use them."""
    if not any(image.purpose for image in images):
        return images
    outside = sum(image.purpose is None for image in images)
    if outside:
        text = f"{root}: {plural(outside, 'image')} in no folder of a split {agree(outside, 'is', 'are')} left out"
        report(Note("left_out", text, str(root), {"images": outside}))
    return [image for image in images if image.purpose is not None]


def _image(row: Any, where: str) -> ImageAnnotation:
    if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not row["path"]:
        raise InputError(f"{where}: expected an object with path and objects")
    folders = (spellings(row["path"]) or [()])[0][:-1]
    boxes = [_box(each, f"{where}: objects[{k}]") for k, each in enumerate(objects_in(row, "objects", where))]
    return ImageAnnotation(row["path"], tuple(boxes), purpose=folder_purpose(folders))


def _box(each: dict[str, Any], where: str) -> Box:
    label, box = text_in(each, "category", where), object_in(each, "bbox", where)
    x1, y1, x2, y2 = (number(box.get(side), f"{where}: bbox: {side}") for side in _SIDES)
    return Box(label, (x1, y1, x2, y2))


EXPORT = Export(
    name="tt100k",
    summary="Tsinghua-Tencent 100K: annotations.json with imgs",
    source="cg.cs.tsinghua.edu.cn/traffic-sign",
    looks_for="a JSON object with imgs that have path and objects",
    files=_files,
    read=_read,
    images=("", "data"),
)
