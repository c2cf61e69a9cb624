"""Text in scenes (ICDAR 2013 and 2015): ``gt_IMAGE.txt`` with lines ``x1,y1,x2,y2,x3,y3,x4,y4,text`` or ``x1, y1, x2, y2, "text"``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import image_text_files, visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, bounding_corners, number
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_CLASS = "text"
_UNREADABLE = "###"
_BETWEEN = r"(?:\s*,\s*|\s+)"
_LINE = re.compile(
    rf"\s*(?P<numbers>-?[\d.]+(?:{_BETWEEN}-?[\d.]+){{7}}|-?[\d.]+(?:{_BETWEEN}-?[\d.]+){{3}}){_BETWEEN}(?P<text>.*)"
)
"""Eight or four numbers, and a text that may have commas; of more numbers, the first eight are the corners."""
_WITH_COMMAS = re.compile(r"\s*-?\d+(\s*,\s*-?\d+){7}\s*,\s*\S*[^\d\s,.]")
"""Eight whole numbers and a text, with commas: of files without the prefix, as of SROIE."""
_PREFIX = "gt_"
_OF_UAVDT = ("gt_whole.txt", "gt_ignore.txt")
_TRIED = 20


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return []
    for pattern in (f"{_PREFIX}*.txt", f"*/{_PREFIX}*.txt", f"*/*/{_PREFIX}*.txt"):
        files = [file for file in visible_files(path, pattern) if file.name not in _OF_UAVDT]
        if files and any(_LINE.fullmatch(_first_line(file)) for file in files[:_TRIED]):
            return files
    for pattern in ("*.txt", "*/*.txt", "*/*/*.txt"):
        files = image_text_files(path, pattern)
        first = [line for file in files[:_TRIED] if (line := _first_line(file))]
        if first and all(map(_WITH_COMMAS.match, first)):
            return files
    return []


def _first_line(file: Path) -> str:
    lines = read_head(file, 1000).decode("utf-8-sig", "replace").splitlines()
    return next((line for line in lines if line.strip()), "")


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        folders = file.relative_to(root).parts[:-1]
        stem = file.stem.removeprefix(_PREFIX)
        images.append(ImageAnnotation("", tuple(_boxes(file)), purpose=folder_purpose(folders), stem=stem))
    ignored = sum(box.ignored for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'word')} that cannot be read ({_UNREADABLE}) {agree(ignored, 'is', 'are')} ignored, as in the benchmark"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return images


def _boxes(file: Path) -> list[Box]:
    boxes = []
    for line_number, line in enumerate(read_text(file).splitlines(), 1):
        where = f"{file}:{line_number}"
        match = _LINE.fullmatch(line)
        if match is None and line.strip():
            raise InputError(f"{where}: expected eight or four numbers and a text, got {line.strip()[:60]!r}")
        if match is not None:
            values = [number(word, where) for word in match["numbers"].replace(",", " ").split()]
            corners = bounding_corners(list(zip(values[::2], values[1::2], strict=True)))
            boxes.append(Box(_CLASS, corners, ignored=match["text"].strip().strip('"') == _UNREADABLE))
    return boxes


EXPORT = Export(
    name="icdar_text",
    summary="ICDAR 2013 and 2015: a text file for each image, with the corners of its words",
    source="Karatzas et al. 2015, ICDAR; rrc.cvc.uab.es",
    looks_for="text files gt_*.txt of lines with eight or four numbers and a text",
    files=_files,
    read=_read,
    images=("", "images"),
    per_image=True,
)
