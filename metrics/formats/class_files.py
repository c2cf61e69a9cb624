"""Detections in a text file per class, called like it: ``cat.txt`` of Detectron2, ``Task1_plane.txt`` of DOTA, ``det_test_cat.txt``.

A line is ``image score x1 y1 x2 y2``, in pixels counted from 1 as in VOC's result files; DOTA's, counted from 0, may have eight
coordinates of a rotated box, whose bounding box is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionRows
from metrics.formats.identity import known_images
from metrics.formats.image_annotations import bounding_corners, number
from metrics.formats.untrusted import read_text
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable

_COUNTS = (5, 9)
"""Numbers of values after the image's name, which may have spaces: of a box, and of a rotated box."""


def read_class_files(files: Sequence[Path], truth: AnnotationTable, where: str) -> DetectionRows | None:
    """The detections of files that are called like classes of the ground truth; None if these are no such files.

    Raises:
        InputError: a line has another number of values, or text for a number.
    """
    class_of = {file: _class_of(file.stem, truth.catalog.classes) for file in files}
    known = known_images([file.stem for file in files], truth.catalog)
    if any(name is None for name in class_of.values()) or (known >= 0).any():
        return None
    rows = DetectionRows(where)
    for file, name in class_of.items():
        for line, text in enumerate(read_text(file).splitlines(), 1):
            words = text.split()
            if not words:
                continue
            place = f"{file}:{line}"
            rotated = len(words) > max(_COUNTS) and all(map(is_number, words[1 - max(_COUNTS) :]))
            count = max(_COUNTS) if rotated else min(_COUNTS)
            if len(words) <= min(_COUNTS):
                raise InputError(
                    f"{place}: expected image score x1 y1 x2 y2, got {plural(len(words), 'value')}"
                )
            score, *points = (number(word, place) for word in words[-count:])
            x1, y1, x2, y2 = bounding_corners(list(zip(points[::2], points[1::2], strict=True)))
            first = 0 if file.stem.lower().startswith("task") else 1
            image = " ".join(words[:-count])
            rows.add(
                image, str(name), (x1 - first, y1 - first, x2 - x1 + first, y2 - y1 + first), score, place
            )
    text = f"{where}: files are called like classes: lines are read as image score x1 y1 x2 y2, pixels"
    report(Note("guessed_layout", text, where))
    return rows


def is_number(word: str) -> bool:
    """Whether a word is a number, also NaN or infinity."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def _class_of(stem: str, classes: Sequence[str]) -> str | None:
    """The longest class name that a file's name is, or ends with after an underscore."""
    fitting = [name for name in classes if stem == name or stem.endswith(f"_{name}")]
    return max(fitting, key=len, default=None)
