"""Bosch Small Traffic Lights: ``train.yaml`` and ``test.yaml``, lists of images with ``path`` and ``boxes``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.json_members import objects_in, text_in
from metrics.formats.untrusted import read_head
from metrics.formats.yaml_text import read_yaml_list

_SIDES = ("x_min", "y_min", "x_max", "y_max")


def _files(path: Path) -> list[Path]:
    return find_files(path, (".yaml", ".yml"), ("*.y*ml", "*/*.y*ml"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return head.lstrip(b"-# \r\n").startswith((b"boxes", b"path")) and b"boxes:" in head and b"path:" in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [
        _image(row, f"{file}: [{k}]", file_purpose(file, root, files))
        for file in files
        for k, row in enumerate(read_yaml_list(file, "images with path and boxes"))
    ]


def _image(row: Any, where: str, purpose: str | None) -> ImageAnnotation:
    if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not row["path"]:
        raise InputError(f"{where}: has no path of an image")
    boxes = []
    for k, each in enumerate(objects_in(row, "boxes", where)):
        place = f"{where}: boxes[{k}]"
        label = text_in(each, "label", place)
        x1, y1, x2, y2 = (number(each.get(side), f"{place}: {side}") for side in _SIDES)
        boxes.append(Box(label, (x1, y1, x2, y2)))
    return ImageAnnotation(row["path"], tuple(boxes), purpose=purpose)


EXPORT = Export(
    name="bosch_lights",
    summary="Bosch Small Traffic Lights: YAML lists of images with boxes",
    source="Behrendt et al. 2017, ICRA; github.com/bosch-ros-pkg/bstld",
    looks_for="a YAML list of images with path and boxes of x_min, y_min, x_max, y_max",
    files=_files,
    read=_read,
    images=("", "rgb/train", "rgb/test"),
)
