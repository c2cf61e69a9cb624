"""NWPU VHR-10: ``ground truth/001.txt`` with lines ``(x1,y1),(x2,y2),class``, and images in ``positive image set``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import recognised_text_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation
from metrics.formats.untrusted import read_head, read_text

CLASSES = (
    "airplane", "ship", "storage tank", "baseball diamond", "tennis court", "basketball court", "ground track field", "harbor",
    "bridge", "vehicle",
)  # fmt: skip
"""Names of the classes 1 to 10."""

_CORNER = r"\(\s*(-?[\d]+)\s*,\s*(-?[\d]+)\s*\)"
_LINE = re.compile(rf"\s*{_CORNER}\s*,\s*{_CORNER}\s*,\s*(\d{{1,3}})\s*")


def _files(path: Path) -> list[Path]:
    return recognised_text_files(path, ("ground truth/*.txt", "*/ground truth/*.txt", "*.txt"), _is_ours)


def _is_ours(file: Path) -> bool:
    lines = read_head(file, 1000).decode("utf-8", "replace").splitlines()
    return any(_LINE.fullmatch(line) for line in lines[:3])


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [ImageAnnotation("", tuple(_boxes(file)), stem=file.stem) for file in files]


def _boxes(file: Path) -> list[Box]:
    boxes = []
    for line_number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        where, match = f"{file}:{line_number}", _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{where}: expected (x1,y1),(x2,y2),class, got {line.strip()[:60]!r}")
        x1, y1, x2, y2, label = map(int, match.groups())
        if not 1 <= label <= len(CLASSES):
            raise InputError(f"{where}: class {label}: expected 1 .. {len(CLASSES)}")
        boxes.append(Box(CLASSES[label - 1], (x1, y1, x2, y2)))
    return boxes


EXPORT = Export(
    name="nwpu_vhr10",
    summary="NWPU VHR-10: a text file for each image, with corners in parentheses",
    source="Cheng et al. 2014, ISPRS J. Photogramm. Remote Sens. 98",
    looks_for="text files of lines (x1,y1),(x2,y2),class in ground truth/",
    files=_files,
    read=_read,
    images=("positive image set", "images", ""),
    per_image=True,
)
