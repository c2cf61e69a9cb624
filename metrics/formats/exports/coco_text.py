"""COCO-Text and TextOCR: one JSON file with the objects ``imgs`` and ``anns``, keyed by ids, and ``imgToAnns``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, four_numbers, number
from metrics.formats.json_members import object_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.unpublished import without_unpublished
from metrics.formats.untrusted import contains_all, read_json
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_CLASS = "text"
_UNREADABLE = "."
"""The text of an illegible word in TextOCR."""


def _files(path: Path) -> list[Path]:
    patterns = ("*.json", "annotations/*.json", "*/*.json")
    return find_files(path, ".json", patterns, _is_ours)


def _is_ours(file: Path) -> bool:
    return contains_all(file, (b'"imgs"', b'"anns"', b'"imgToAnns"'))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = [image for file in files for image in _images(file)]
    ignored = sum(box.ignored for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'word')} that cannot be read {agree(ignored, 'is', 'are')} ignored, as in the benchmark"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return without_unpublished(images, root)


def _images(file: Path) -> list[ImageAnnotation]:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with imgs, anns and imgToAnns")
    rows = object_in(document, "imgs", where)
    boxes: dict[str, list[Box]] = {identity: [] for identity in rows}
    for key, each in object_in(document, "anns", where).items():
        place = f"{where}: anns[{key[:40]}]"
        if not isinstance(each, dict):
            raise InputError(f"{place}: expected an object")
        image = str(each.get("image_id"))
        if image not in boxes:
            raise InputError(f"{place}: image_id {image[:40]!r} is not in imgs")
        boxes[image].append(_box(each, place))
    return [
        _image(
            object_in(rows, identity, f"{where}: imgs"), boxes[identity], f"{where}: imgs[{identity[:40]}]"
        )
        for identity in rows
    ]


def _image(row: Mapping[str, Any], boxes: Sequence[Box], where: str) -> ImageAnnotation:
    name = row.get("file_name") or row.get("filename")
    if not isinstance(name, str):
        raise InputError(f"{where}: has no file_name")
    height, width = (int(number(row.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    return ImageAnnotation(name, tuple(boxes), (height, width), parse_purpose(str(row.get("set"))))


def _box(each: Mapping[str, Any], where: str) -> Box:
    x, y, w, h = four_numbers(each.get("bbox"), f"{where}: bbox")
    ignored = each.get("legibility") == "illegible" or each.get("utf8_string") == _UNREADABLE
    return Box(_CLASS, (x, y, x + w, y + h), ignored=ignored)


EXPORT = Export(
    name="coco_text",
    summary="COCO-Text and TextOCR: words in photographs",
    source="Veit et al. 2016, arXiv:1601.07140; Singh et al. 2021, arXiv:2105.05486",
    looks_for="a JSON file with imgs, anns and imgToAnns",
    files=_files,
    read=_read,
    images=("", "train2014", "images", "train_images", "imgs"),
)
