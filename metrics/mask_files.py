"""Evaluation of folders of label maps: PNG files whose pixels are class indices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.mask_counts import MaskCounts, count_image
from metrics.mask_evaluation import MaskEvaluation
from metrics.messages import reason
from metrics.notes import Note, report
from metrics.pixel_labels import IGNORED
from metrics.plurals import agree, plural

MAX_PIXELS = 2**28
"""Pixels of the largest label map that is read."""

_SHOWN = 3
_MODES = ("1", "L", "P", "I", "I;16")
"""Images with one channel; those with a palette are read by index, as those of Pascal VOC."""


def score_masks(
    truth: str | Path,
    found: str | Path,
    classes: Sequence[str] | None = None,
    ignore: int | None = IGNORED,
) -> MaskEvaluation:
    """Read two folders of label maps and evaluate one by the other.

    Files are matched by their path in the folder without the suffix: ``a/b.png`` by ``a/b``. Label maps of `found` that the
    truth lacks are left out, with a warning.

    Args:
        truth: folder of PNG files.
        found: folder of PNG files, one for each of `truth`.
        classes: names of the labels 0, 1, ...; by default as many numbers as the largest label needs.
        ignore: label of pixels in the truth to leave out; None for none.

    Raises:
        InputError: a folder or file cannot be read, a label map is missing or has another size, or a label is no class.
    """
    truth, found = Path(truth), Path(found)
    true_files, found_files = find_label_maps(truth), find_label_maps(found)
    missing = sorted(set(true_files) - set(found_files))
    if missing:
        raise InputError(
            f"{found}: no label map for {len(missing)} of the {len(true_files)} in {truth}: {_some(missing)}; files are matched "
            "by their names without suffix"
        )
    if more := sorted(set(found_files) - set(true_files)):
        text = f"{found}: {plural(len(more), 'label map is', 'label maps are')} not in {truth} and left out: {_some(more)}"
        report(Note("unmatched_label_maps", text, str(found), items=tuple(more)), InputWarning)
    pairs = [(true_files[name], found_files[name]) for name in true_files]
    names = tuple(classes) if classes else _numbers(pairs, ignore)
    if ignore is not None and ignore < len(names):
        raise InputError(f"--ignore {ignore}: is the label of class {names[ignore]!r}; labels count from 0")
    overlaps = []
    for true_file, found_file in pairs:
        true, other = read_label_map(true_file), read_label_map(found_file)
        if true.shape != other.shape:
            raise InputError(
                f"{found_file}: {_size(other)} pixels, and {true_file} has {_size(true)}; resize the label map (nearest "
                "neighbour)"
            )
        for file, labels in ((true_file, true), (found_file, other)):
            _require_known(file, labels, len(names), ignore)
        overlaps.append(count_image(true, other, names, ignore))
    return MaskEvaluation(MaskCounts.of(names, overlaps), tuple(true_files))


def parse_ignore(text: str | None) -> int | None:
    """The ignored label of ``--ignore``: a number, or none; 255 if it is not given.

    Raises:
        InputError: other text.
    """
    if text is None:
        return IGNORED
    if text == "none":
        return None
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII):
        raise InputError(f"--ignore {text}: expected a label such as {IGNORED}, or none")
    return int(text)


def find_label_maps(folder: Path) -> dict[str, Path]:
    """PNG files of a folder and its subfolders by their path in it without suffix, in alphabetical order.

    Raises:
        InputError: no such folder, no PNG files in it, or two of the same name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --masks compares two folders of PNG label maps")
    found: dict[str, Path] = {}
    for file in sorted(each for each in folder.rglob("*") if each.suffix.lower() == ".png"):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{file}: {found[name].name} has the same name; remove one of them")
        found[name] = file
    if not found:
        raise InputError(f"{folder}: no PNG files; --masks compares two folders of PNG label maps")
    return found


def read_label_map(file: Path) -> NDArray[np.integer]:
    """Labels (H, W) of a PNG file with one channel; palette images give the index of each pixel.

    Raises:
        InputError: it cannot be read, has several channels, or more than `MAX_PIXELS` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InputError(f"{file}: {width} x {height} pixels; at most {MAX_PIXELS} are allowed")
            if image.mode not in _MODES:
                raise InputError(
                    f"{file}: an image in {image.mode}; a label map has one channel, whose values are class indices"
                )
            labels = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: cannot be read as a PNG image ({reason(error)})") from None
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


def _numbers(pairs: Sequence[tuple[Path, Path]], ignore: int | None) -> tuple[str, ...]:
    """``0``, ``1``, ... up to the largest label that is not ignored."""
    largest = -1
    for pair in pairs:
        for file in pair:
            labels = read_label_map(file)
            labels = labels[labels != ignore] if ignore is not None else labels
            if labels.size:
                largest = max(largest, int(labels.max()))
    if largest > _MOST_LABELS:
        raise InputError(
            f"--masks: labels up to {largest}, but at most {_MOST_LABELS} are possible; are the values class indices?"
        )
    return tuple(map(str, range(max(largest, 0) + 1)))


_MOST_LABELS = 4095


def _require_known(file: Path, labels: NDArray[np.integer], classes: int, ignore: int | None) -> None:
    unknown = (labels < 0) | (labels >= classes)
    if ignore is not None:
        unknown &= labels != ignore
    if unknown.any():
        ignored = "" if ignore is None else f", and {ignore} is ignored"
        raise InputError(
            f"{file}: label {int(labels[unknown][0])} in {plural(int(unknown.sum()), 'pixel')}; there {agree(classes, 'is', 'are')} {plural(classes, 'class')}, with labels "
            f"from 0{ignored}; give the names of all with --classes, or another --ignore"
        )


def _size(labels: NDArray[np.integer]) -> str:
    return f"{labels.shape[1]} x {labels.shape[0]}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
