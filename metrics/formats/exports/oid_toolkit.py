"""OIDv4 and OIDv6 toolkits: folders of classes with images, and text files of ``class xmin ymin xmax ymax`` in ``Label``.

RSOD has the name of the image before the class, in ``Annotation/labels``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import is_most, visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_text

_FOLDERS = ("Label", "labels")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    for folder in _FOLDERS:
        for depth in ("*", "*/*", "*/*/*", "*/*/*/*"):
            files = visible_files(path, f"{depth}/{folder}/*.txt")
            if files and is_most(map(_is_label, files[:20])):
                return files
    return []


def _is_label(file: Path) -> bool:
    lines = read_head(file, 400).splitlines()
    words = lines[0].split() if lines else []
    numbers = [word for word in words[-4:] if word.replace(b".", b"").isdigit()]
    named = not any(word.replace(b".", b"").replace(b"-", b"").isdigit() for word in words[:-4])
    return not words or (len(words) >= 5 and len(numbers) == 4 and named)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    """The images; one that is in the folders of several classes has the boxes of all of them."""
    boxes: dict[tuple[str | None, str], list[Box]] = {}
    stems: dict[tuple[str | None, str], str] = {}
    for file in files:
        folders = file.relative_to(root).parts[:-2]
        purpose = folder_purpose(folders)
        key = (purpose, file.stem)
        stems.setdefault(key, "/".join([*folders, file.stem]))
        of_image = boxes.setdefault(key, [])
        of_image += [box for box in _boxes(file) if box not in of_image]
    return [ImageAnnotation("", tuple(of), purpose=key[0], stem=stems[key]) for key, of in boxes.items()]


def _boxes(file: Path) -> list[Box]:
    boxes = []
    for line_number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        where = f"{file}:{line_number}"
        if words and len(words) < 5:
            raise InputError(f"{where}: expected a class and xmin ymin xmax ymax, got {line.strip()[:60]!r}")
        if words:
            x1, y1, x2, y2 = (number(word, where) for word in words[-4:])
            label = words[1:-4] if len(words) > 5 and words[0].rpartition(".")[0] == file.stem else words[:-4]
            boxes.append(Box(" ".join(label), (x1, y1, x2, y2)))
    return boxes


EXPORT = Export(
    name="oid_toolkit",
    summary="OIDv4 toolkit: folders of classes with images and Label/",
    source="github.com/EscVM/OIDv4_ToolKit",
    looks_for="text files of lines class xmin ymin xmax ymax in Label/ beside images",
    files=_files,
    read=_read,
    images=("",),
    per_image=True,
)
