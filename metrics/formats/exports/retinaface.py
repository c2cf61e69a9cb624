"""RetinaFace's ``label.txt``: a line ``# image``, and a line for each of its faces, a box and perhaps five landmarks.

RetinaFace writes ``x y w h`` before the landmarks. SCRFD's ``labelv2.txt`` has the image's size in the line of the image,
``# image width height``, and ``x1 y1 x2 y2`` in those of faces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.purpose import folder_purpose, parse_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.plurals import plural

_LARGEST = 256 * 2**20
_COUNTS = (4, 19, 20)
"""Numbers of values of a face: of its box, with x, y and a flag of each landmark, and with the blur."""
_IMAGE = re.compile(r"#\s*(?P<name>\S.*?\.\w+)(?:\s+(?P<width>\d+)\s+(?P<height>\d+))?")


def _files(path: Path) -> list[Path]:
    patterns = ("label*.txt", "*/label*.txt", "*/*/label*.txt")
    return find_files(path, ".txt", patterns, _is_ours)


def _is_ours(file: Path) -> bool:
    lines = read_head(file, 1000).decode("utf-8", "replace").splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    return _IMAGE.fullmatch(first) is not None


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    images = []
    for file in files:
        folders = file.relative_to(top).parts[:-1]
        purpose = parse_purpose(file.stem) or folder_purpose(folders) if len(files) > 1 else None
        beside = "".join(f"{folder}/" for folder in folders)
        images += [replace(image, name=beside + image.name, purpose=purpose) for image in _images(file)]
    return images


def _images(file: Path) -> list[ImageAnnotation]:
    images: list[ImageAnnotation] = []
    for line_number, text in enumerate(read_text(file, _LARGEST).splitlines(), 1):
        line, where = text.strip(), f"{file}:{line_number}"
        match = _IMAGE.fullmatch(line)
        if match is not None:
            size = (int(match["height"] or 0), int(match["width"] or 0))
            images.append(ImageAnnotation(match["name"], (), size))
        elif line and not line.startswith("#") and images:
            box = _box(line, where, corners=all(images[-1].size))
            images[-1] = replace(images[-1], boxes=(*images[-1].boxes, box))
        elif line:
            raise InputError(
                f"{where}: expected a line '# image' before those of its faces, got {line[:60]!r}"
            )
    return images


def _box(line: str, where: str, corners: bool) -> Box:
    words = line.split()
    form = "x1 y1 x2 y2" if corners else "x y w h"
    if len(words) not in _COUNTS:
        raise InputError(
            f"{where}: expected {form} and five landmarks or none, got {plural(len(words), 'value')}: {line[:60]!r}"
        )
    a, b, c, d, *_ = (number(word, where) for word in words)
    return Box("face", (a, b, c, d) if corners else (a, b, a + c, b + d))


EXPORT = Export(
    name="retinaface",
    summary="RetinaFace's and SCRFD's label.txt: the faces of all images, with landmarks",
    source="Deng et al. 2020, arXiv:1905.00641; github.com/deepinsight/insightface (detection)",
    looks_for="a file label*.txt of lines # image, each before those of its faces",
    files=_files,
    read=_read,
    images=("images", "", "WIDER_train/images", "WIDER_val/images"),
)
