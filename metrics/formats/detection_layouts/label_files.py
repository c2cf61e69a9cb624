"""A text file per image with lines of a class, a score and a box.

Ultralytics and YOLOv5 write ``class cx cy w h score`` in fractions of the image's sides, a track number after it where
objects are tracked, and polygons, rotated boxes or keypoints between class and score. Evaluation tools use
``class score x1 y1 x2 y2`` or ``class score x y w h`` in pixels or fractions, with indices or names as classes. A file
does not tell which, but hardly any numbers fit two of these: those that do not fit all lines are ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.formats.box_orders import LARGEST_RELATIVE, BoxOrder, fitting_boxes
from metrics.formats.class_files import read_class_files
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.file_listing import image_text_files
from metrics.formats.identity import known_images
from metrics.formats.untrusted import read_text
from metrics.formats.yolo import bounding_boxes, points_in_boxes
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable

_OF_CORNERS = "detection-results"
"""Folder of Cartucho's mAP, whose lines have corners after the score."""
_FOLDERS = ("labels", _OF_CORNERS, "detections")
"""Where Ultralytics, Cartucho's mAP and Padilla's evaluator keep the files, beside others."""


@dataclass(frozen=True, slots=True)
class _Order(BoxOrder):
    """What the five numbers after the class are.

    Attributes:
        score: position of the score among them.
    """

    score: int = 0


_CORNERS = _Order("class score x1 y1 x2 y2", "xyxy")
_ORDERS = (
    _Order("class cx cy w h score", "cxcywh", True, score=4),
    _Order("class score cx cy w h", "cxcywh", True),
    _CORNERS,
    _Order("class score x y w h", "xywh"),
    _Order("class x1 y1 x2 y2 score", "xyxy", score=4),
    _Order("class x y w h score", "xywh", score=4),
)
"""The likeliest first."""


@dataclass(slots=True)
class _Line:
    """One line: its image, class, the numbers after the class, and its place."""

    image: str
    label: str
    numbers: list[float]
    place: str


def _files(path: Path) -> list[Path]:
    for folder in (*(path / name for name in _FOLDERS), path):
        files = [
            file
            for file in image_text_files(folder, "**/*.txt")
            if not file.name.startswith(("comp3_det", "comp4_det"))
        ]
        if files:
            return files
    return []


def _is_ours(path: Path) -> bool:
    return path.is_dir() and bool(_files(path))


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    files = _files(path)
    by_class = read_class_files(files, truth, str(path))
    if by_class is not None:
        return by_class
    top = next((path / name for name in _FOLDERS if files[0].is_relative_to(path / name)), path)
    lines = [
        line for file in files for line in _lines(file, file.relative_to(top).with_suffix("").as_posix())
    ]
    counts = {len(line.numbers) for line in lines}
    if lines and counts <= {5}:
        return _five_numbers(lines, truth, path, of_corners=files[0].parent.name == _OF_CORNERS)
    if counts == {6}:
        return _rows(lines, np.array([line.numbers[:5] for line in lines]), _ORDERS[0], path)
    return _with_points(lines, path) if lines else DetectionRows(str(path), relative=True, indices=True)


def _lines(file: Path, image: str) -> list[_Line]:
    lines = []
    for number, text in enumerate(read_text(file).splitlines(), 1):
        words = text.replace(",", " ").split()
        if not words:
            continue
        first = 1 if _is_number(words[0]) else max(len(words) - 5, 1)  # a name may have spaces
        numbers = _numbers(words[first:])
        if len(numbers) < 5:
            place, shown = f"{file}:{number}", text.strip()[:60]
            if len(numbers) < 4:
                raise InputError(
                    f"{place}: expected a class, a score and four numbers of a box, got {shown!r}"
                )
            raise InputError(
                f"{place}: {shown!r} has a class and a box but no score, as annotations do; write the scores too "
                f"(save_conf=True of Ultralytics, --save-conf of YOLOv5)"
            )
        lines.append(_Line(image, _class(" ".join(words[:first])), numbers, f"{file}:{number}"))
    return lines


def _numbers(words: Sequence[str]) -> list[float]:
    """The finite numbers at the end of words; none if one of the last four is none."""
    try:
        numbers = list(map(float, words))
    except ValueError:
        return [] if not all(map(_is_number, words[-4:])) else [float(word) for word in words[-4:]]
    return numbers if all(map(math.isfinite, numbers)) else []


@cache
def _class(word: str) -> str:
    """An index without the point that some programs write."""
    return str(int(float(word))) if _is_number(word) and float(word).is_integer() else word


@cache
def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _five_numbers(
    lines: Sequence[_Line], truth: AnnotationTable, path: Path, of_corners: bool
) -> DetectionRows:
    values = np.array([line.numbers for line in lines], np.float64)
    image = known_images([line.image for line in lines], truth.catalog)
    sizes = np.where(image[:, None] >= 0, truth.catalog.sizes[image], 0)[:, ::-1].astype(np.float64)
    fitting = [order for order in _ORDERS if _fits(values, order, sizes, 1)] or [
        order for order in _ORDERS if _fits(values, order, sizes, 100)
    ]
    if not fitting:
        raise InputError(
            f"{lines[0].place}: {' '.join(f'{v:g}' for v in lines[0].numbers)}: the lines in {path} are not "
            f"{', nor '.join(order.name for order in _ORDERS)}: in each some scores are outside [0, 100] or boxes outside their "
            f"image; convert them to a CSV table with the columns image_id, class_id, score, x1, y1, x2, y2"
        )
    if of_corners and _CORNERS in fitting:
        fitting = [_CORNERS]
    chosen, *others = fitting
    if others and not chosen.relative:
        names = " and ".join(order.name for order in fitting)
        raise InputError(
            f"{path}: all lines fit {names}; call the folder {_OF_CORNERS} if they are {_CORNERS.name}, or convert them to a CSV table with the columns image_id, class_id, score, and x1, "
            f"y1, x2, y2 or x, y, w, h"
        )
    if chosen is not _ORDERS[0] or others:
        text = f"{path}: lines are read as {chosen.name}{', fractions of the image' if chosen.relative else ', pixels'}"
        if others:
            text += f"; they would also fit {', '.join(order.name for order in others)}"
        report(Note("guessed_layout", text, str(path), {"rows": len(lines)}))
    return _rows(lines, values, chosen, path)


def _fits(values: NDArray[np.float64], order: _Order, sizes: NDArray[np.float64], most: float) -> bool:
    """Whether all scores are in [0, `most`] and all boxes within their image, as far as its (width, height) is known."""
    score = values[:, order.score]
    in_range = score.min() >= 0 and score.max() <= most
    boxes = np.delete(values, order.score, axis=1)
    return bool(in_range and fitting_boxes(boxes, order, sizes).all())


def _rows(lines: Sequence[_Line], values: NDArray[np.float64], order: _Order, path: Path) -> DetectionRows:
    rows = DetectionRows(str(path), relative=order.relative, indices=True)
    xywh = convert(np.delete(values, order.score, axis=1), order.layout, "xywh")
    for line, box, score in zip(lines, xywh.tolist(), values[:, order.score].tolist(), strict=True):
        rows.add(line.image, line.label, (box[0], box[1], box[2], box[3]), score, line.place)
    return rows


def _with_points(lines: Sequence[_Line], path: Path) -> DetectionRows:
    """Detections of Ultralytics with polygons, rotated boxes or keypoints; the score is the last number, or before a track."""
    kind, boxes = _keypoint_boxes(lines), None
    if kind is not None:
        boxes, scores = kind
        what = "keypoints, which are not used"
    else:
        what = "polygons or rotated boxes, whose bounding box is used"
        scores = [line.numbers[-1 if len(line.numbers) % 2 else -2] for line in lines]
        polygons = [line.numbers[: len(line.numbers) - 2 + len(line.numbers) % 2] for line in lines]
        boxes = np.array(bounding_boxes(polygons), np.float64).reshape(-1, 4)
    wrong = [k for k, score in enumerate(scores) if not 0 <= score <= 1]
    if wrong or np.abs(boxes).max() > LARGEST_RELATIVE:
        line = lines[wrong[0] if wrong else int(np.argmax(np.abs(boxes).max(1)))]
        raise InputError(
            f"{line.place}: {plural(len(line.numbers), 'number')} after the class: expected cx cy w h score, or points and a score, in "
            f"fractions of the image"
        )
    text = f"{path}: {plural(len(lines), 'line has', 'lines have')} more than a box: read as {what}"
    report(Note("guessed_layout", text, str(path), {"rows": len(lines)}))
    values = np.concatenate([boxes, np.array(scores)[:, None]], axis=1)
    return _rows(lines, values, _ORDERS[0], path)


def _keypoint_boxes(lines: Sequence[_Line]) -> tuple[NDArray[np.float64], list[float]] | None:
    """Boxes (N, 4) cxcywh and scores if all lines are a box, equally many keypoints in it, and a score."""
    counts = {len(line.numbers) for line in lines}
    if len(counts) != 1:
        return None
    values = np.array([line.numbers for line in lines], np.float64)
    for last in (1, 2):  # a score, or a score and a track
        for width in (3, 2):
            points = values[:, 4:-last]
            if points.shape[1] and points.shape[1] % width == 0:
                shaped = points.reshape(len(lines), -1, width)[:, :, :2]
                if points_in_boxes(values[:, :4], shaped):
                    return values[:, :4], values[:, -last].tolist()
    return None


LAYOUT = DetectionLayout(
    name="label_files",
    summary="a text file per image (Ultralytics' save_txt with save_conf, YOLOv5, and tools for evaluation)",
    source="docs.ultralytics.com/modes/predict; github.com/rafaelpadilla/review_object_detection_metrics",
    is_ours=_is_ours,
    read=_read,
    general=True,
)
