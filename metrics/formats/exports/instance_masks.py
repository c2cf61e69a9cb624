"""Masks of objects as images (MinneApple, Penn-Fudan): a file beside each image whose pixels are 0 or the number of an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, without_partial_purposes
from metrics.formats.image_search import image_files
from metrics.formats.purpose import folder_purpose
from metrics.notes import Note, report
from metrics.plurals import plural

_FOLDERS = ("masks", "PedMasks", "instance_masks", "instances")
_ENDING = "_mask"
_MODES = ("L", "P", "I", "I;16")
_TRIED = 20
_CLASS = "object"


def _files(path: Path) -> list[Path]:
    """The masks below a path, if their pixels are numbers of objects: 0 to a number that differs from image to image.

    Those of classes, which lie in folders of the same names, have the same few numbers in many images, or numbers that are left out.
    """
    if path.is_file():
        return []
    for depth in ("", "*/", "*/*/"):
        folders = sorted(
            found for name in _FOLDERS for found in path.glob(f"{depth}{name}") if found.is_dir()
        )
        files = [file for folder in folders for file in image_files(folder) if file.suffix.lower() == ".png"]
        counts = [_count(file) for file in files[:_TRIED]]
        if counts and None not in counts and len({*counts} - {0}) > 1:
            return files
    return []


def _count(file: Path) -> int | None:
    """The largest number in a mask if all from 0 on occur, else None."""
    try:
        values = np.unique(_pixels(file))
    except InputError:
        return None
    return len(values) - 1 if values[0] == 0 and values[-1] == len(values) - 1 else None


def _pixels(file: Path) -> NDArray[np.int64]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.mode not in _MODES:
                raise InputError(
                    f"{file}: expected one number for each pixel, got an image of mode {image.mode}"
                )
            return np.array(image).astype(np.int64)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: cannot be read as an image: {error}") from error


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    from scipy import ndimage

    images = []
    for file in files:
        pixels = _pixels(file)
        boxes = [
            Box(_CLASS, (float(x.start), float(y.start), float(x.stop), float(y.stop)))
            for places in ndimage.find_objects(pixels)
            if places is not None
            for y, x in [places]
        ]
        folders = file.relative_to(root).parts[:-2]
        stem = "/".join([*folders, file.stem.removesuffix(_ENDING)])
        height, width = pixels.shape
        images.append(ImageAnnotation("", tuple(boxes), (height, width), folder_purpose(folders), stem))
    count = sum(len(image.boxes) for image in images)
    text = (
        f"{root}: {plural(count, 'number in a mask is', 'numbers in masks are')} read as an object each, of the class {_CLASS!r}; "
        f"if they are classes, give the masks as label maps (--masks)"
    )
    report(Note("one_class", text, str(root), {"objects": count}))
    return without_partial_purposes(images)


EXPORT = Export(
    name="instance_masks",
    summary="masks of objects as images (MinneApple, Penn-Fudan)",
    source="Haeni et al. 2020, arXiv:1909.06441; cis.upenn.edu/~jshi/ped_html",
    looks_for="PNG files in masks/ or PedMasks/ whose pixels are 0 or the number of an object",
    files=_files,
    read=_read,
    images=("images", "PNGImages", ""),
    per_image=True,
)
