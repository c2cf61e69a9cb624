"""WiderPerson: ``Annotations/000040.jpg.txt`` with the number of objects and lines ``class x1 y1 x2 y2``, and ``Images``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.counted_lines import begins_with_count, counted_lines
from metrics.formats.file_listing import recognised_text_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.untrusted import read_text
from metrics.notes import Note, report
from metrics.plurals import plural

CLASSES = ("pedestrian", "rider", "partially-visible person")
"""Names of the classes 1 to 3; 4 are ignored regions, and 5 are crowds, in which persons are not annotated one by one."""

_LARGEST_CLASS = len(CLASSES) + 2
_LISTS = ("train", "val", "test")


def _files(path: Path) -> list[Path]:
    return recognised_text_files(
        path, ("Annotations/*.txt", "annotations/*.txt", "*/Annotations/*.txt"), _is_ours
    )


def _is_ours(file: Path) -> bool:
    return begins_with_count(
        file, lambda words: len(words) == 5 and all(word.lstrip(b"-").isdigit() for word in words)
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    counts: Counter[str] = Counter()
    purposes = {file.parent.parent: _listed(file.parent.parent) for file in files}
    images = []
    for file in files:
        stem = file.stem.removesuffix(".jpg")
        boxes = tuple(_box(words, place, counts) for place, words in counted_lines(file))
        images.append(ImageAnnotation("", boxes, purpose=purposes[file.parent.parent].get(stem), stem=stem))
    if counts["regions"]:
        text = f"{root}: {plural(counts['regions'], 'ignored region or crowd is', 'ignored regions and crowds are')} ignored for every class"
        report(Note("ignored_regions", text, str(root), {"regions": counts["regions"]}))
    return _of_splits(images, root)


def _of_splits(images: list[ImageAnnotation], root: Path) -> list[ImageAnnotation]:
    """Images of the lists; those that no list has, if others are in one, are left out."""
    listed = [image for image in images if image.purpose]
    if listed and len(listed) < len(images):
        count = len(images) - len(listed)
        text = f"{root}: {plural(count, 'image is', 'images are')} in none of the lists of splits and {'is' if count == 1 else 'are'} left out"
        report(Note("left_out", text, str(root), {"images": count}))
    return listed or images


def _listed(folder: Path) -> dict[str, str]:
    """The split of each image by its name without suffix, of ``train.txt``, ``val.txt`` and ``test.txt``."""
    return {
        line.strip().removesuffix(".jpg"): name
        for name in _LISTS
        if (folder / f"{name}.txt").is_file()
        for line in read_text(folder / f"{name}.txt").splitlines()
        if line.strip()
    }


def _box(words: Sequence[str], where: str, counts: Counter[str]) -> Box:
    if len(words) != 5:
        raise InputError(f"{where}: expected class x1 y1 x2 y2, got {' '.join(words)[:60]!r}")
    label, x1, y1, x2, y2 = (number(word, where) for word in words)
    if not label.is_integer() or not 1 <= label <= _LARGEST_CLASS:
        raise InputError(f"{where}: class {label:g}: expected 1 .. {_LARGEST_CLASS}")
    is_object = label <= len(CLASSES)
    counts["regions"] += not is_object
    return Box(CLASSES[int(label) - 1] if is_object else "", (x1, y1, x2, y2))


EXPORT = Export(
    name="widerperson",
    summary="WiderPerson: a text file for each image, with the number of objects first",
    source="Zhang et al. 2019, arXiv:1909.12118",
    looks_for="text files in Annotations/ with a number and lines class x1 y1 x2 y2",
    files=_files,
    read=_read,
    images=("Images", "images"),
    per_image=True,
)
