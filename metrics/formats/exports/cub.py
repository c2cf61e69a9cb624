"""CUB-200-2011 and its like (NABirds): lists of images, boxes, classes and splits that are joined by ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.untrusted import read_text

_BOXES, _IMAGES, _LABELS, _CLASSES, _SPLITS = (
    "bounding_boxes.txt",
    "images.txt",
    "image_class_labels.txt",
    "classes.txt",
    "train_test_split.txt",
)


def _files(path: Path) -> list[Path]:
    return find_files(
        path,
        _BOXES,
        (_BOXES, f"*/{_BOXES}"),
        lambda file: all(file.with_name(name).is_file() for name in (_IMAGES, _LABELS)),
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [image for file in files for image in _images(file)]


def _images(file: Path) -> list[ImageAnnotation]:
    names = _pairs(file.with_name(_IMAGES))
    labels = _pairs(file.with_name(_LABELS))
    classes = _pairs(file.with_name(_CLASSES)) if file.with_name(_CLASSES).is_file() else {}
    splits = _pairs(file.with_name(_SPLITS)) if file.with_name(_SPLITS).is_file() else {}
    boxes = {identity: (where, text.split()) for identity, (where, text) in _pairs(file).items()}
    images = []
    for identity, (where, name) in names.items():
        if identity not in boxes or identity not in labels:
            missing = _BOXES if identity not in boxes else _LABELS
            raise InputError(
                f"{where}: image {identity[:40]!r} has no line in {missing}; add it, or remove the image"
            )
        place, words = boxes[identity]
        if len(words) != 4:
            raise InputError(f"{place}: expected an id and x y w h")
        x, y, w, h = (number(word, place) for word in words)
        label = labels[identity][1]
        box = Box(classes.get(label, ("", label))[1], (x, y, x + w, y + h))
        purpose = None
        if splits:
            purpose = {"1": "train", "0": "test"}.get(splits.get(identity, ("", ""))[1])
            if purpose is None:
                raise InputError(
                    f"{file.with_name(_SPLITS)}: image {identity[:40]!r}: expected a line with 1 (train) or 0 (test)"
                )
        images.append(ImageAnnotation(f"images/{name}", (box,), purpose=purpose))
    return images


def _pairs(file: Path) -> dict[str, tuple[str, str]]:
    """The place and the rest of each line by its first word."""
    found: dict[str, tuple[str, str]] = {}
    for k, line in enumerate(read_text(file).splitlines(), 1):
        identity, _, rest = line.strip().partition(" ")
        if not identity:
            continue
        if not rest.strip() or identity in found:
            raise InputError(
                f"{file}:{k}: {'has no value' if not rest.strip() else 'is a second line'} for {identity[:40]!r}"
            )
        found[identity] = (f"{file}:{k}", rest.strip())
    return found


EXPORT = Export(
    name="cub",
    summary="CUB-200-2011: lists of images, boxes, classes and splits",
    source="Wah et al. 2011, CNS-TR-2011-001",
    looks_for="bounding_boxes.txt beside images.txt and image_class_labels.txt",
    files=_files,
    read=_read,
    images=("images", ""),
)
