"""Label maps from images of classes: Pascal VOC's ``SegmentationClass``, whose pixels are numbers or colours of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.contents import content_digests
from bench.data.image_masks import IGNORED_CLASS, Frame, ImageMask, Masks
from bench.data.images import read_class_image, read_header, rotate_upright
from metrics.errors import InputError
from metrics.formats.voc_colors import VOC_CLASSES, VOID, color_codes, read_colors, voc_colors
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_FOLDER = "SegmentationClass"
_COLORS_FILE = "labelmap.txt"
_BACKGROUND = {"background", "_background_"}
_VOID = {"void", "ignored", "ignore", "boundary", "border"}


class ClassImages:
    """Images of classes as a `bench.data.image_masks.MaskSource`; the key of an image is the path of its image of classes.

    Args:
        codes: what the pixels of each class of this source have, in increasing order: a number from 0 to 255, or a colour.
        by_color: whether codes are colours, red * 65,536 + green * 256 + blue; the numbers of a palette have no meaning then.
    """

    def __init__(self, codes: Sequence[int], by_color: bool) -> None:
        self._codes = np.array(codes, np.int32)
        self._by_color = by_color

    def draw(self, key: Hashable, frame: Frame, values: Sequence[int]) -> NDArray[np.uint8]:
        """Label map of an image, turned as the image is; see `bench.data.image_masks.MaskSource`."""
        path = Path(str(key))
        codes = _on_image(self._read(path), path, frame)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        unknown = codes[self._codes[places] != codes]
        if len(unknown):
            code = int(unknown[0])
            what = (
                f"colour {code >> 16},{code >> 8 & 255},{code & 255}" if self._by_color else f"number {code}"
            )
            raise InputError(
                f"{path}: {plural(len(unknown), 'pixel has', 'pixels have')} the {what}, which belongs to no class; add a line to {_COLORS_FILE}, or "
                "correct the image"
            )
        table = np.array(values, np.int64).astype(np.uint8)
        label_map: NDArray[np.uint8] = table[places]
        return label_map

    def digest(self, keys: Sequence[Hashable]) -> bytes:
        """Hash of the files and of the meaning of their pixels."""
        digest = hashlib.sha256(repr((self._codes.tolist(), self._by_color)).encode())
        for content in content_digests([Path(str(key)) for key in keys]):
            digest.update(content)
        return digest.digest()

    def count(self, keys: Sequence[Hashable]) -> Mapping[str, int]:
        """Nothing: there are no single objects."""
        return {}

    def _read(self, path: Path) -> NDArray[np.int32]:
        """(H, W) codes of an image of classes, as it is stored."""
        pixels = read_class_image(path, colors=self._by_color)
        if pixels.ndim == 2:
            return pixels.astype(np.int32)
        codes = color_codes(pixels)
        if self._by_color:
            return codes
        palette = color_codes(voc_colors())
        order = np.argsort(palette)
        places = np.searchsorted(palette[order], codes).clip(max=255)
        numbers: NDArray[np.int32] = order[places].astype(np.int32)
        if (palette[numbers] != codes).any():
            raise InputError(
                f"{path}: has colours that are not in the palette of Pascal VOC; name them in {_COLORS_FILE}"
            )
        return numbers


def find_class_images(root: Path, stems: Sequence[str], classes: Sequence[str], what: str) -> Masks:
    """The masks of images of a Pascal VOC data set; None if no image has one. What is guessed of their classes is reported.

    Classes are those of the colours in ``labelmap.txt``; without such a file those of the numbers of Pascal VOC, if it has all
    the classes, or else numbered from 1 in alphabetical order. Other classes are background.

    Args:
        root: folder of the data set.
        stems: path of the annotation file of each image below its folder, without suffix.
        classes: of the objects, sorted.
        what: whose images they are, for messages.
    """
    folder = root / _FOLDER
    files = [folder / f"{stem}.png" for stem in stems]
    if not folder.is_dir() or not any(exists := [file.is_file() for file in files]):
        return None
    colors = root / _COLORS_FILE
    if colors.is_file():
        names = read_colors(colors)
        names.setdefault(0, "background")
        names.setdefault(int(color_codes(voc_colors())[VOID]), "void")
        how = f"colours of {_COLORS_FILE}"
    else:
        official = set(classes) <= set(VOC_CLASSES)
        listed = VOC_CLASSES if official else sorted(classes)
        names = {0: "background", **dict(enumerate(listed, 1)), VOID: "void"}
        how = "numbers of Pascal VOC" if official else "numbers from 1 in alphabetical order of the classes"
    codes = sorted(names)
    values = tuple(_value(names[code], classes) for code in codes)
    others = [
        names[code]
        for code, value in zip(codes, values, strict=True)
        if not value and names[code].lower() not in _BACKGROUND
    ]
    text = f"{what}: {_FOLDER}: {sum(exists):,} of {plural(len(files), 'image')} {agree(sum(exists), 'has', 'have')} a mask, with the {how}"
    if others:
        more = f" and {len(others) - 8:,} more" if len(others) > 8 else ""
        text += f"; classes without objects are background: {', '.join(others[:8])}{more}"
    numbers = {"images": sum(exists), "of": len(files), "others": len(others)}
    report(Note("class_images", text, what, numbers))
    source = ClassImages(codes, colors.is_file())
    return tuple(
        ImageMask(source, str(file), values) if found else None
        for file, found in zip(files, exists, strict=True)
    )


def _value(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return 1 + list(classes).index(name)
    return IGNORED_CLASS if name.lower() in _VOID else 0


def _on_image(codes: NDArray[np.int32], path: Path, frame: Frame) -> NDArray[np.int32]:
    """The codes on the pixels of the image: rotated by its EXIF orientation if that is why the sizes differ."""
    if codes.shape == frame.size:
        return codes
    if codes.shape == frame.size[::-1] and frame.upright:
        rotated = rotate_upright(codes, read_header(frame.path).orientation)
        if rotated.shape == frame.size:
            return rotated
    (height, width), (h, w) = frame.size, codes.shape
    raise InputError(
        f"{path}: {w}x{h} pixels, but its image {frame.path.name} has {width}x{height}; make them equal"
    )
