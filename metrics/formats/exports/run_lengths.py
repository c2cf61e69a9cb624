"""Run lengths in CSV, as in Kaggle's competitions (Airbus ships, Data Science Bowl 2018, Severstal steel): ``ImageId,EncodedPixels``.

Pixels are counted from 1 down the columns; ``1 3 10 5`` is pixels 1 to 3 and 10 to 14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    number,
)
from metrics.notes import Note, report
from metrics.plurals import plural

_RUNS = "encodedpixels"
_IMAGES = ("imageid", "image_label", "imageid_classid")
_JOINED = ("image_label", "imageid_classid")
"""Columns with an image and a class, between which is an underscore."""
_CLASSES = ("classid", "class_id", "class", "label")
_SHIP, _ONLY_CLASS = "ship", "object"


@dataclass(frozen=True, slots=True)
class _Mask:
    """A row with pixels: its class, first pixels from 0 and lengths of its runs, and its place."""

    label: str
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    where: str


@dataclass(frozen=True, slots=True)
class _MaskedImage(ImageAnnotation):
    """An image whose boxes are known when its height is.

    Attributes:
        masks: its rows with pixels; `boxes` only have their classes.
        of_classes: whether a row has all objects of a class, so that its connected parts are objects.
    """

    masks: tuple[_Mask, ...] = ()
    of_classes: bool = False

    @property
    def unit(self) -> str:
        return "run lengths have a meaning only with the image's height"

    @property
    def needs_image(self) -> bool:
        return True

    def in_pixels(self, size: tuple[int, int]) -> ImageAnnotation:
        if not self.relative:
            return self
        boxes = []
        for mask in self.masks:
            _check(mask, size)
            parts = _parts(mask, size) if self.of_classes else [_corners(mask, size)]
            boxes += [Box(mask.label, corners) for corners in parts]
        return ImageAnnotation(self.name, tuple(boxes), size, self.purpose, self.stem)


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv", "*/*.csv"), _is_ours)


def _is_ours(file: Path) -> bool:
    header = header_of(file)
    submission = "sample_submission" in file.name.lower()
    return _RUNS in header and any(name in header for name in _IMAGES) and not submission


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [image for file in files for image in _images(file, file_purpose(file, root, files))]


def _images(file: Path, purpose: str | None) -> list[ImageAnnotation]:
    masks: dict[str, list[_Mask]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, size, mask in _rows(file):
        of_image = masks.setdefault(name, [])
        of_image += [mask] if mask else []
        sizes[name] = size
    pairs = Counter((name, mask.label) for name, of in masks.items() for mask in of)
    classes = {label for _, label in pairs}
    of_classes = len(classes) > 1 and max(pairs.values()) == 1
    if of_classes:
        text = f"{file}: {plural(len(pairs), 'row has', 'rows have')} the pixels of a class in an image: their connected parts are read as objects"
        report(Note("mask_parts", text, str(file), {"rows": len(pairs)}))
    return [
        _MaskedImage(
            name,
            tuple(Box(mask.label, (0, 0, 0, 0)) for mask in of),
            purpose=purpose,
            relative=bool(of),
            masks=tuple(of),
            of_classes=of_classes,
        ).in_pixels_of(sizes[name])
        for name, of in masks.items()
    ]


def _rows(file: Path) -> Iterator[tuple[str, tuple[int, int], _Mask | None]]:
    """Image, its size as written (else 0), and the mask of each row, if it has pixels."""
    header = header_of(file)
    column = next((name for name in _IMAGES if name in header), _IMAGES[0])
    of_class = next((name for name in _CLASSES if name in header), None)
    default = _SHIP if _SHIP in file.name.lower() else _ONLY_CLASS
    if of_class is None and column not in _JOINED:
        text = f"{file}: has no column of classes; all objects are of one class, {default!r}"
        report(Note("one_class", text, str(file)))
    for where, row in named_rows(file, (column, _RUNS)):
        name, label = row[column].strip(), row[of_class].strip() if of_class else default
        if column in _JOINED:
            name, _, label = name.rpartition("_")
        if not name:
            raise InputError(f"{where}: {column}: has no image")
        height, width = (
            int(number(row[key], f"{where}: {key}")) if row.get(key) else 0 for key in ("height", "width")
        )
        empty = row[_RUNS].strip().lower() in ("", "nan")
        yield (
            name,
            (height, width),
            None if empty else _Mask(label, *_runs(row[_RUNS], f"{where}: EncodedPixels"), where),
        )


def _runs(text: str, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = text.split()
    if len(words) % 2 or not all(word.isdecimal() and len(word) < 12 for word in words):
        raise InputError(f"{where}: expected pairs of a first pixel and a length, got {text[:40]!r}")
    pairs = np.array(words, np.int64).reshape(-1, 2)
    if pairs.min() < 1:
        raise InputError(f"{where}: pixels and lengths begin at 1, got {text[:40]!r}")
    return pairs[:, 0] - 1, pairs[:, 1]


def _check(mask: _Mask, size: tuple[int, int]) -> None:
    """Refuse pixels beyond an image of this (height, width)."""
    height, width = size
    last = int((mask.starts + mask.lengths).max())
    if last > height * width:
        raise InputError(f"{mask.where}: pixel {last:,} is beyond an image of {width:,} x {height:,} pixels")


def _corners(mask: _Mask, size: tuple[int, int]) -> Corners:
    """The corners around all pixels of a mask."""
    height, _ = size
    last = mask.starts + mask.lengths - 1
    whole = (
        mask.starts // height != last // height
    )  # a run into the next column has pixels at the bottom and at the top
    top = np.where(whole, 0, mask.starts % height).min()
    bottom = np.where(whole, height - 1, last % height).max()
    return float(mask.starts.min() // height), float(top), float(last.max() // height + 1), float(bottom + 1)


def _parts(mask: _Mask, size: tuple[int, int]) -> list[Corners]:
    """The corners around each connected part of a mask; pixels that touch at a corner are connected."""
    from scipy import ndimage

    height, width = size
    bits = np.zeros(height * width, np.bool_)
    for start, length in zip(mask.starts.tolist(), mask.lengths.tolist(), strict=True):
        bits[start : start + length] = True
    numbered, _ = ndimage.label(bits.reshape(width, height).T, np.ones((3, 3)))
    return [
        (float(x.start), float(y.start), float(x.stop), float(y.stop))
        for y, x in ndimage.find_objects(numbered)
    ]


EXPORT = Export(
    name="run_lengths",
    summary="run lengths in CSV (Kaggle: Airbus ships, Severstal steel): ImageId,EncodedPixels",
    source="kaggle.com/c/airbus-ship-detection; kaggle.com/c/severstal-steel-defect-detection",
    looks_for="a CSV file with the columns ImageId and EncodedPixels",
    files=_files,
    read=_read,
    images=("train_v2", "train", "train_images", "images", ""),
)
