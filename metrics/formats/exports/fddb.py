"""FDDB: ``FDDB-fold-01-ellipseList.txt`` with an image, the number of its faces, and an ellipse in each line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    ellipse_corners,
    find_files,
    number,
)
from metrics.formats.untrusted import read_text
from metrics.plurals import plural

_ENDING = "-ellipselist.txt"


def _files(path: Path) -> list[Path]:
    return find_files(path, _ENDING, ("*-ellipseList.txt", "*/*-ellipseList.txt"))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [image for file in files for image in _images(file)]


def _images(file: Path) -> list[ImageAnnotation]:
    lines = [
        (f"{file}:{k}", line.strip())
        for k, line in enumerate(read_text(file).splitlines(), 1)
        if line.strip()
    ]
    images, k = [], 0
    while k < len(lines):
        name = lines[k][1]
        place, count = lines[k + 1] if k + 1 < len(lines) else (lines[k][0], "")
        if not count.isdecimal():
            raise InputError(f"{place}: expected the number of faces of {name[:60]!r}, got {count[:40]!r}")
        rows = lines[k + 2 : k + 2 + int(count)]
        if len(rows) < int(count):
            raise InputError(f"{place}: {plural(int(count), 'face')}, but the file ends after {len(rows):,}")
        images.append(ImageAnnotation("", tuple(_box(line, where) for where, line in rows), stem=name))
        k += 2 + int(count)
    return images


def _box(line: str, where: str) -> Box:
    """The box around a face: both radii, the angle of the first one in radians, and the centre."""
    words = line.split()
    if len(words) != 6:
        raise InputError(f"{where}: expected two radii, an angle, a centre and 1, got {line[:60]!r}")
    a, b, angle, x, y, _ = (number(word, where) for word in words)
    return Box("face", ellipse_corners((x, y), (a, b), math.degrees(angle)))


EXPORT = Export(
    name="fddb",
    summary="FDDB: the ellipses of faces in text files for many images",
    source="Jain and Learned-Miller 2010, UMass TR UM-CS-2010-009",
    looks_for="a file *-ellipseList.txt",
    files=_files,
    read=_read,
    images=("originalPics", "images", ""),
)
