"""Total-Text: ``poly_gt_IMAGE.txt`` with the polygon of each word, ``x: [[...]], y: [[...]], ornt: ['c'], transcriptions: ['word']``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import recognised_text_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, bounding_corners, number
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_CLASS = "text"
_NOT_EVALUATED = "#"
_PREFIX = re.compile(r"(poly_)?gt_")
_RECORD = re.compile(
    r"x:\s*\[\[(?P<x>[^\]]*)\]\]\s*,\s*y:\s*\[\[(?P<y>[^\]]*)\]\]\s*,\s*ornt:\s*\[(?P<kind>[^\]]*)\]\s*,\s*"
    r"transcriptions:\s*\[(?P<text>.*)\]\s*",
    re.DOTALL,
)
_START = re.compile(r"^\s*x:", re.MULTILINE)


def _files(path: Path) -> list[Path]:
    return recognised_text_files(
        path, ("*gt_*.txt", "*/*gt_*.txt", "*/*/*gt_*.txt", "*/*/*/*gt_*.txt"), _is_ours
    )


def _is_ours(file: Path) -> bool:
    return read_head(file, 100).startswith(b"x: [[")


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        stem = _PREFIX.sub("", file.stem, count=1)
        folders = file.relative_to(root).parts[:-1]
        boxes = tuple(_box(text, where) for where, text in _records(file))
        images.append(ImageAnnotation("", boxes, purpose=folder_purpose(reversed(folders)), stem=stem))
    ignored = sum(box.ignored for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'word')} marked as {_NOT_EVALUATED} {agree(ignored, 'is', 'are')} ignored, as in the benchmark"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return images


def _records(file: Path) -> Iterator[tuple[str, str]]:
    """The place and the text of each word; long polygons are continued on further lines."""
    text = read_text(file)
    starts = [match.start() for match in _START.finditer(text)]
    if not text.strip():  # of an image without words
        return
    if text[: starts[0] if starts else None].strip():
        raise InputError(f"{file}:1: expected x: [[...]], y: [[...]], got {text.strip()[:60]!r}")
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        line = text.count("\n", 0, start) + 1
        yield f"{file}:{line}", text[start:end].strip()


def _box(text: str, where: str) -> Box:
    match = _RECORD.fullmatch(text)
    if match is None:
        raise InputError(
            f"{where}: expected x: [[...]], y: [[...]], ornt: [...], transcriptions: [...], got {text[:60]!r}"
        )
    x, y = ([number(word, where) for word in match[key].replace(",", " ").split()] for key in ("x", "y"))
    if len(x) != len(y) or len(x) < 3:
        raise InputError(f"{where}: expected as many x as y, at least three, got {len(x):,} and {len(y):,}")
    marks = {_word(match["kind"]), _word(match["text"])}
    return Box(_CLASS, bounding_corners(list(zip(x, y, strict=True))), ignored=_NOT_EVALUATED in marks)


def _word(text: str) -> str:
    """The content of a literal of Python."""
    return text.strip().removeprefix("u").strip("'\"")


EXPORT = Export(
    name="total_text",
    summary="Total-Text: a text file for each image, with the polygons of its words",
    source="Ch'ng and Chan 2017, arXiv:1710.10400; github.com/cs-chan/Total-Text-Dataset",
    looks_for="text files poly_gt_*.txt of lines x: [[...]], y: [[...]]",
    files=_files,
    read=_read,
    images=("Images/Train", "Images/Test", "Images", "images", ""),
    per_image=True,
)
