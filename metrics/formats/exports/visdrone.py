"""VisDrone-DET: ``annotations/*.txt`` with lines ``x,y,w,h,score,category,truncation,occlusion``, and ``images``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor",
)  # fmt: skip
"""Names of the categories 1 to 10; 0 are ignored regions, 11 are others, which are not evaluated."""


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    for pattern in ("annotations/*.txt", "*/annotations/*.txt"):
        files = visible_files(path, pattern)
        if files and any(_is_visdrone(file) for file in files[:20]):
            return files
    return []


def _is_visdrone(file: Path) -> bool:
    words = first_words(file)
    return len(words) == 8 and all(word.strip().lstrip(b"-").isdigit() for word in words)


def first_words(file: Path) -> list[bytes]:
    """The values of the first line that is not empty."""
    lines = [line for line in read_head(file, 400).splitlines() if line.strip()]
    return lines[0].strip().strip(b",").split(b",") if lines else []


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    counts: Counter[str] = Counter()
    images = []
    for file in files:
        folder = file.parent.parent
        purpose = parse_purpose(folder.name) if folder != root else None
        stem = file.stem if folder == root else f"{folder.name}/{file.stem}"
        images.append(ImageAnnotation("", tuple(_boxes(file, counts)), purpose=purpose, stem=stem))
    if counts["regions"]:
        text = f"{root}: {plural(counts['regions'], 'ignored region')} and others are ignored for every class"
        report(Note("ignored_regions", text, str(root), {"regions": counts["regions"]}))
    return images


def _boxes(file: Path, counts: Counter[str]) -> list[Box]:
    boxes = []
    for _, (x, y, w, h, score), category in read_lines(file):
        label = CLASSES[category - 1] if is_object(category) and score else ""
        counts["regions"] += not label
        boxes.append(Box(label, (x, y, x + w, y + h)))
    return boxes


def is_object(category: int) -> bool:
    """Whether a category is one of `CLASSES`: neither an ignored region nor one of the others."""
    return 1 <= category <= len(CLASSES)


def read_lines(file: Path) -> Iterator[tuple[str, tuple[float, float, float, float, float], int]]:
    """The place of each line, its x, y, w, h and score, and its category.

    Raises:
        InputError: a line is not of eight numbers, or its category is none from 0 to 11.
    """
    for line_number, line in enumerate(read_text(file).splitlines(), 1):
        words = [word for word in line.strip().split(",") if word.strip()]
        if not words:
            continue
        where = f"{file}:{line_number}"
        if len(words) != 8:
            raise InputError(
                f"{where}: expected x,y,w,h,score,category,truncation,occlusion, got {plural(len(words), 'number')}"
            )
        x, y, w, h, score, category = (number(word, where) for word in words[:6])
        if not 0 <= category <= len(CLASSES) + 1 or not category.is_integer():
            raise InputError(f"{where}: category {category:g}: expected 0 .. {len(CLASSES) + 1}")
        yield where, (x, y, w, h, score), int(category)


EXPORT = Export(
    name="visdrone",
    summary="VisDrone-DET: annotations of eight numbers per line",
    source="Zhu et al. 2021, arXiv:2001.06303",
    looks_for="text files of lines with eight numbers in annotations/",
    files=_files,
    read=_read,
)
