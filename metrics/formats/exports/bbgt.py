"""Piotr Dollár's bbGt (ExDark, KAIST, Caltech): a text file for each image that begins with ``% bbGt version=3``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.image_search import IMAGE_SUFFIXES
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_FIRST = b"% bbGt"
_VALUES = (12, 11)
"""Numbers of values of a line: class, x y w h, occlusion, visible x y w h, whether it is ignored, and in version 3 an angle."""
_TRIED = 20


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return []
    return find_files(path, ".txt", ("*.txt", "*/*.txt", "*/*/*.txt", "*/*/*/*.txt"), _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    return read_head(file, 40).startswith(_FIRST)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = [_image(file, root) for file in files]
    ignored = sum(box.ignored for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'object has', 'objects have')} the flag that they are ignored"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return images


def _image(file: Path, root: Path) -> ImageAnnotation:
    """An image, whose name with suffix may be before ``.txt``."""
    folders = file.relative_to(root).parts[:-1]
    own = Path(file.stem).stem if Path(file.stem).suffix.lower() in IMAGE_SUFFIXES else file.stem
    stem = "/".join([*folders[1:], own])
    return ImageAnnotation("", tuple(_boxes(file)), purpose=folder_purpose(folders), stem=stem)


def _boxes(file: Path) -> list[Box]:
    boxes = []
    for k, line in enumerate(read_text(file).splitlines(), 1):
        words, where = line.split(), f"{file}:{k}"
        if not words or words[0] == "%":
            continue
        if len(words) not in _VALUES:
            raise InputError(
                f"{where}: expected a class and {_VALUES[0] - 1} or {plural(_VALUES[1] - 1, 'number')}, got {plural(len(words), 'value')}"
            )
        x, y, w, h = (number(word, where) for word in words[1:5])
        boxes.append(Box(words[0], (x, y, x + w, y + h), ignored=number(words[10], where) != 0))
    return boxes


EXPORT = Export(
    name="bbgt",
    summary="Piotr Dollar's bbGt (ExDark, KAIST): a text file for each image",
    source="github.com/pdollar/toolbox/blob/master/detector/bbGt.m; Loh and Chan 2019, arXiv:1805.11227",
    looks_for="text files that begin with % bbGt version",
    files=_files,
    read=_read,
    images=("", "images", "ExDark"),
    per_image=True,
)
