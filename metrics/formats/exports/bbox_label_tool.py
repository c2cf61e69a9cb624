"""BBox-Label-Tool: ``Labels/001/*.txt`` with the number of boxes and lines ``x1 y1 x2 y2``, perhaps with a class, and ``Images/001``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.counted_lines import begins_with_count, counted_lines
from metrics.formats.file_listing import recognised_text_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_ONLY_CLASS = "object"


def _files(path: Path) -> list[Path]:
    return recognised_text_files(path, ("Labels/*/*.txt", "labels/*/*.txt", "Labels/*.txt"), _is_ours)


def _is_ours(file: Path) -> bool:
    return begins_with_count(
        file, lambda words: len(words) >= 4 and all(word.lstrip(b"-").isdigit() for word in words[:4])
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    folders = sorted({file.parent.name for file in files})
    unnamed: Counter[str] = Counter()
    images = []
    for file in files:
        own = file.parent.name if len(folders) > 1 else _ONLY_CLASS
        boxes = tuple(_box(words, place, own, unnamed) for place, words in counted_lines(file))
        stem = "/".join(file.relative_to(root).with_suffix("").parts[1:])
        images.append(ImageAnnotation("", boxes, stem=stem))
    if unnamed.total():
        what = "called like their folder" if len(folders) > 1 else f"of one class, {_ONLY_CLASS!r}"
        text = f"{root}: {plural(unnamed.total(), 'box has', 'boxes have')} no class and {agree(unnamed.total(), 'is', 'are')} {what}; to name the class of a box, write it after its numbers"
        report(Note("one_class", text, str(root), {"objects": unnamed.total()}))
    return images


def _box(words: Sequence[str], where: str, own: str, unnamed: Counter[str]) -> Box:
    """The box of a line, of class `own` where the line has none."""
    if len(words) < 4:
        raise InputError(f"{where}: expected x1 y1 x2 y2 and a class, got {' '.join(words)[:60]!r}")
    x1, y1, x2, y2 = (number(word, where) for word in words[:4])
    label = " ".join(words[4:])
    unnamed[own] += not label
    return Box(label or own, (x1, y1, x2, y2))


EXPORT = Export(
    name="bbox_label_tool",
    summary="BBox-Label-Tool: a text file for each image, with the number of boxes first",
    source="github.com/puzzledqs/BBox-Label-Tool",
    looks_for="text files in Labels/ with a number and lines x1 y1 x2 y2",
    files=_files,
    read=_read,
    images=("Images", "images", ""),
    per_image=True,
)
