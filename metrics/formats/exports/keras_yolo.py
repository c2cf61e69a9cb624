"""YOLO v3 Keras and YOLO v4 PyTorch, also of Roboflow: lines ``image x1,y1,x2,y2,class x1,y1,x2,y2,class``, and a file of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    folder_prefix,
    number,
)
from metrics.formats.untrusted import read_head, read_text
from metrics.plurals import agree, plural

_CLASSES = ("_classes.txt", "classes.txt")
_LINE = re.compile(r"(?P<name>.*?\.\w+)(?P<boxes>( +-?[\d.]+(,-?[\d.]+){3},\d+)*) *")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".txt", ("_annotations.txt", "*/_annotations.txt", "*annotations*.txt"), _is_ours)


def _is_ours(file: Path) -> bool:
    lines = read_head(file, 4096).decode("utf-8", "replace").splitlines()
    return bool(lines) and any(
        (match := _LINE.fullmatch(line)) is not None and bool(match["boxes"]) for line in lines[:5]
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        names = _names(file)
        purpose = file_purpose(file, root, files)
        folder = folder_prefix(file, root)
        of_file = [
            _image(line, f"{file}:{line_number}", names, folder, purpose)
            for line_number, line in enumerate(read_text(file, 2**30).splitlines(), 1)
            if line.strip()
        ]
        images += as_fractions(of_file, str(file))
    return images


def _names(file: Path) -> list[str]:
    listed = next((file.parent / name for name in _CLASSES if (file.parent / name).is_file()), None)
    if listed is None:
        raise InputError(
            f"{file}: has indices of classes, but there is no _classes.txt beside it; add one with a name in each line"
        )
    return [line.strip() for line in read_text(listed).splitlines() if line.strip()]


def _image(line: str, where: str, names: Sequence[str], folder: str, purpose: str | None) -> ImageAnnotation:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise InputError(f"{where}: expected an image and boxes x1,y1,x2,y2,class, got {line.strip()[:60]!r}")
    boxes = []
    for word in match["boxes"].split():
        *corners, index = word.split(",")
        if int(index) >= len(names):
            raise InputError(
                f"{where}: class {index}, but there {agree(len(names), 'is', 'are')} {plural(len(names), 'name')}: expected 0 .. {len(names) - 1}"
            )
        x1, y1, x2, y2 = (number(value, where) for value in corners)
        boxes.append(Box(names[int(index)], (x1, y1, x2, y2)))
    name = match["name"].strip()
    return ImageAnnotation(folder + name if "/" not in name else name, tuple(boxes), purpose=purpose)


EXPORT = Export(
    name="keras_yolo",
    summary="a text file with a line per image (YOLO v3 Keras, YOLO v4 PyTorch)",
    source="github.com/qqwweee/keras-yolo3; roboflow.com/formats/yolov4-pytorch-txt",
    looks_for="_annotations.txt with lines image x1,y1,x2,y2,class",
    files=_files,
    read=_read,
    images=("", "images"),
)
