"""RectLabel's JSON: a file for each image, with ``image_w_h`` and ``objects`` of ``x_y_w_h``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    find_files,
    four_numbers,
    image_folders,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, objects_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json

_TRIED = 20


def _files(path: Path) -> list[Path]:
    patterns = ("annotations/*.json", "*.json", "*/annotations/*.json", "*/*.json")
    return find_files(path, ".json", patterns, _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"objects"' in head and (b'"image_w_h"' in head or b'"x_y_w_h"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    left_out: Counter[str] = Counter()
    images = [_image(file, top, left_out) for file in files]
    report_left_out(left_out, str(root), ("object has no x_y_w_h and is", "objects have no x_y_w_h and are"))
    return images


def _image(file: Path, top: Path, left_out: Counter[str]) -> ImageAnnotation:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise InputError(f"{where}: expected an object with image_w_h and a list objects")
    boxes = [
        box
        for k, each in enumerate(objects_in(document, "objects", where))
        if (box := _box(each, f"{where}: objects[{k}]", left_out))
    ]
    sides = [int(number(side, f"{where}: image_w_h")) for side in list_in(document, "image_w_h", where)]
    size = (sides[1], sides[0]) if len(sides) == 2 else (0, 0)
    name = document.get("filename") or document.get("image_path")
    folders = image_folders(file, top)
    stem = "/".join([*folders, file.stem])
    written = name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""
    return ImageAnnotation(written, tuple(boxes), size, folder_purpose(folders), stem)


def _box(each: Mapping[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    label = text_in(each, "label", where)
    if "x_y_w_h" not in each:
        left_out[next((key for key in each if key != "label"), "without shape")[:40]] += 1
        return None
    x, y, w, h = four_numbers(each["x_y_w_h"], f"{where}: x_y_w_h")
    return Box(label, (x, y, x + w, y + h))


EXPORT = Export(
    name="rectlabel",
    summary="RectLabel: a JSON file for each image",
    source="rectlabel.com",
    looks_for="JSON files with image_w_h and objects",
    files=_files,
    read=_read,
    images=("", "images"),
    per_image=True,
)
