"""WIDER FACE: ``wider_face_*_bbx_gt.txt`` with the image, the number of faces, and a line of ten numbers for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_LARGEST = 256 * 2**20


def _files(path: Path) -> list[Path]:
    return find_files(path, "_bbx_gt.txt", ("*_bbx_gt.txt", "*/*_bbx_gt.txt"))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = parse_purpose(file.stem) if len(files) > 1 else None
        images += _images(file, purpose)
    ignored = sum(box.ignored for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'face marked invalid is', 'faces marked invalid are')} ignored"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return images


def _images(file: Path, purpose: str | None) -> list[ImageAnnotation]:
    numbered = [
        (k, line.strip()) for k, line in enumerate(read_text(file, _LARGEST).splitlines(), 1) if line.strip()
    ]
    lines = [line for _, line in numbered]

    def place(k: int) -> str:
        return f"{file}:{numbered[min(k, len(numbered) - 1)][0]}"

    images = []
    k = 0
    while k < len(lines):
        name, count = lines[k], lines[k + 1] if k + 1 < len(lines) else ""
        if not count.isdecimal():
            raise InputError(
                f"{place(k + 1)}: expected the number of faces of {name[:60]!r}, got {count[:40]!r}"
            )
        rows = lines[k + 2 : k + 2 + max(int(count), 1)]
        if len(rows) < int(count):
            raise InputError(
                f"{place(k + 1)}: {plural(int(count), 'face')}, but the file ends after {len(rows):,}"
            )
        boxes = [_box(row, place(k + 2 + n)) for n, row in enumerate(rows[: int(count)])]
        images.append(ImageAnnotation(name, tuple(boxes), purpose=purpose))
        # an image without faces has a line of zeros, except in files of some tools
        k += 2 + (int(count) or bool(rows and rows[0].replace(" ", "").strip("0") == "" and rows[0]))
    return images


def _box(line: str, where: str) -> Box:
    words = line.split()
    if len(words) < 4:
        raise InputError(f"{where}: expected x y w h and six attributes, got {line[:60]!r}")
    x, y, w, h = (number(word, where) for word in words[:4])
    return Box("face", (x, y, x + w, y + h), ignored=len(words) > 7 and words[7] == "1")


EXPORT = Export(
    name="wider_face",
    summary="WIDER FACE: a text file with the faces of all images",
    source="Yang et al. 2016, arXiv:1511.06523",
    looks_for="a file *_bbx_gt.txt",
    files=_files,
    read=_read,
    images=("WIDER_train/images", "WIDER_val/images", "images", ""),
)
