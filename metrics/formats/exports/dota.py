"""DOTA and Roboflow's oriented boxes: ``labelTxt/*.txt`` with lines ``x1 y1 x2 y2 x3 y3 x4 y4 class difficult``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, bounding_corners, number
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_CORNERS = 8
_LABELS = "labelTxt"
_PATTERNS = ("labelTxt*/*.txt", "*/labelTxt*/*.txt", "labelTxt*/*/*.txt", "*/labelTxt*/*/*.txt")
_UPRIGHT = "_hbb"
"""End of the name of a folder with the same objects in upright boxes."""


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    for pattern in _PATTERNS:
        if files := visible_files(path, pattern):
            return [file for file in files if not file.parent.name.endswith(_UPRIGHT)] or files
    return []


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        folder = next(parent.parent for parent in file.parents if parent.name.startswith(_LABELS))
        stem = file.stem if folder == root else f"{folder.name}/{file.stem}"
        purpose = parse_purpose(folder.name) if folder != root else None
        images.append(ImageAnnotation("", tuple(_boxes(file)), purpose=purpose, stem=stem))
    difficult = sum(box.ignored for image in images for box in image.boxes)
    text = f"{root}: the bounding boxes of oriented boxes are read; {plural(difficult, 'difficult one is', 'difficult ones are')} ignored"
    report(Note("boxes_of_polygons", text, str(root), {"ignored": difficult}))
    return images


def _boxes(file: Path) -> list[Box]:
    boxes = []
    for line_number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words or ":" in words[0]:  # imagesource:... and gsd:...
            continue
        where = f"{file}:{line_number}"
        if len(words) < _CORNERS + 1:
            raise InputError(
                f"{where}: expected eight coordinates, a class and whether it is difficult, got {line.strip()[:60]!r}"
            )
        values = [number(word, where) for word in words[:_CORNERS]]
        difficult = words[-1] if len(words) > _CORNERS + 1 else "0"
        name = " ".join(words[_CORNERS:-1] if len(words) > _CORNERS + 1 else words[_CORNERS:])
        corners = bounding_corners(list(zip(values[::2], values[1::2], strict=True)))
        boxes.append(Box(name, corners, ignored=difficult not in ("0", "0.0")))
    return boxes


EXPORT = Export(
    name="dota",
    summary="DOTA and Roboflow's oriented boxes in labelTxt/",
    source="captain-whu.github.io/DOTA/dataset.html",
    looks_for="text files in labelTxt/",
    files=_files,
    read=_read,
    per_image=True,
)
