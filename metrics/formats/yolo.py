"""Label files of YOLO: one text file per image, one object per line.

A line is ``class cx cy w h``, separated by spaces or commas; the class is its index, or else its name; ``class x1 y1 x2 y2 x3 y3 ...`` for a polygon or a rotated box, whose bounding box is used;
or ``class cx cy w h`` and keypoints, which are not used. Coordinates are relative to the image's width and height. An image
without a text file, or with an empty one, has no objects.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.formats.plausibility import check_annotations, warn_rows
from metrics.formats.untrusted import read_text
from metrics.formats.yolo_labels import find_labels, label_path
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.tables import AnnotationTable, Catalog

_LARGEST_RELATIVE = 1.5  # boxes beyond the border are a little above 1, pixel coordinates far above
_ROTATED = 8  # numbers of a rotated box after the class
_FEWEST_ROWS, _MOST, _SLACK = (
    3,
    0.95,
    0.02,
)  # evidence for keypoints: rows, share of points in their box, tolerance

Row = list[float]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_truth(
    image_paths: Iterable[str | Path],
    sizes: ArrayLike,
    names: Sequence[str],
    labels: str | Path | Mapping[Path, Path] | None = None,
    keypoints: tuple[int, int] | None = None,
) -> AnnotationTable:
    """Read the boxes of images from their text files.

    Arguments and errors are those of `read_objects`.
    """
    return read_objects(image_paths, sizes, names, labels, keypoints)[0]


def read_objects(
    image_paths: Iterable[str | Path],
    sizes: ArrayLike,
    names: Sequence[str],
    labels: str | Path | Mapping[Path, Path] | None = None,
    keypoints: tuple[int, int] | None = None,
) -> tuple[AnnotationTable, list[NDArray[np.float64] | None]]:
    """Read the boxes and polygons of images from their text files.

    Args:
        image_paths: I images. Their ids are the file names without suffix or, if two are equal, the paths below their
            common folder without suffix.
        sizes: (I, 2) (height, width) in pixels, in the order of `image_paths`.
        names: C class names.
        labels: the folder of the text files, or the text file of each image that has one; by default see `find_labels`.
        keypoints: (number, numbers per keypoint) of pose data. If None, and every line has a box that contains all further
            points, they are taken for keypoints, which is reported.

    Returns:
        The objects, and for each its polygon (P, 2), relative to the image, or None if it is given as a box.

    Raises:
        InputError: an invalid line, a class beyond `names`, or coordinates in pixels; with file and line.
    """
    paths = [Path(path) for path in image_paths]
    extents = np.asarray(sizes, np.int64).reshape(-1, 2)
    if len(extents) != len(paths):
        raise InputError(f"sizes: expected one per image, {len(paths):,}, got {len(extents):,}")
    if not isinstance(labels, Mapping):
        labels = find_labels([paths], folder=None if labels is None else Path(labels))
    ids, file_names = _identities(paths)
    order = sorted(range(len(paths)), key=ids.__getitem__)
    image: list[int] = []
    rows: list[Row] = []
    places: list[tuple[Path, int]] = []
    for index, i in enumerate(order):
        file = labels.get(paths[i])
        if file is not None:
            rows += _read_lines(file, names, keypoints, places)
            image += [index] * (len(rows) - len(image))
    if paths and not rows:
        looked = label_path(paths[0])
        warn_rows("YOLO labels", np.ones(len(paths), np.bool_), f"images have no boxes (looked for {looked})")
    catalog = Catalog.of([ids[i] for i in order], names, extents[order], [file_names[i] for i in order])
    boxes, are_polygons = _boxes(rows, places, keypoints)
    columns = np.array(boxes, np.float64).reshape(-1, 5)
    table = AnnotationTable.of(
        catalog, np.array(image, np.int64), columns[:, 0].astype(np.int64), _pixels(columns, catalog, image)
    )
    check_annotations(table, "YOLO labels")
    polygons = [np.array(row[1:]).reshape(-1, 2) if are_polygons and len(row) > 5 else None for row in rows]
    return table, polygons


def _identities(paths: list[Path]) -> tuple[list[str], list[str]]:
    """Ids and file names of images, the latter relative to their common folder."""
    if not paths:
        return [], []
    common = Path(os.path.commonpath([path.parent for path in paths]))
    relative = [path.relative_to(common) for path in paths]
    names = [path.as_posix() for path in relative]
    for ids in ([path.stem for path in paths], [path.with_suffix("").as_posix() for path in relative]):
        if len(set(ids)) == len(ids):
            return ids, names
    return names, names


def _read_lines(
    file: Path, names: Sequence[str], keypoints: tuple[int, int] | None, places: list[tuple[Path, int]]
) -> list[Row]:
    """Class and numbers of each line; its file and number are appended to `places`."""
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if words:
            if "," in line:
                words = _separated(line)
            rows.append(_row(words, names, f"{file}:{number}", keypoints))
            places.append((file, number))
    return rows


def _separated(line: str) -> list[str]:
    """The words of a line with commas, which separate values (a class name may have spaces), or are part of the words."""
    values = [value.strip() for value in line.split(",")]
    return line.split() if any(not value or " " in value for value in values[1:]) else values


def _numbers(words: list[str], names: Sequence[str], where: str) -> Row:
    """The numbers of a line; a class name at its start is its index."""
    try:
        return list(map(float, words))
    except ValueError:
        first = next((k for k in range(len(words), 0, -1) if not _NUMBER.fullmatch(words[k - 1])), 0)
    name = " ".join(words[:first])
    if name in names:
        return [float(names.index(name)), *map(float, words[first:])]
    hint = "; write a decimal point" if any("," in word for word in words) else ""
    raise InputError(f"{where}: expected numbers, got {' '.join(words)[:60]!r}{hint}")


def _row(words: list[str], names: Sequence[str], where: str, keypoints: tuple[int, int] | None) -> Row:
    count = len(names)
    label, *numbers = _numbers(words, names, where)
    if keypoints is not None:
        expected = 4 + keypoints[0] * keypoints[1]
        if len(numbers) not in (4, expected):
            raise InputError(
                f"{where}: expected class cx cy w h and {plural(keypoints[0], 'keypoint')} of {plural(keypoints[1], 'number')} (kpt_shape), "
                f"{plural(1 + expected, 'number')}; got {len(words):,}"
            )
    elif len(numbers) == 5:
        raise InputError(
            f"{where}: has six numbers, but a label has five; is the last one a score? These look like detections; if they are "
            f"ground truth, remove the last number of each line"
        )
    elif len(numbers) < 4 or (len(numbers) % 2 and not _fits_keypoints(len(numbers))):
        raise InputError(
            f"{where}: expected class cx cy w h, or class and a polygon of x y pairs, got {plural(len(words), 'number')}"
        )
    if not np.isfinite(numbers).all():
        raise InputError(f"{where}: expected finite numbers, got {' '.join(words)[:60]!r}")
    if not label.is_integer() or not 0 <= label < count:
        raise InputError(
            f"{where}: class {words[0]}, but there {agree(count, 'is', 'are')} {plural(count, 'name')}: expected 0 .. {count - 1}; add its name, or, if classes count "
            f"from 1, subtract 1 from the class of every line"
        )
    relative = _coordinates(numbers)
    if max(map(abs, relative)) > _LARGEST_RELATIVE:
        raise InputError(
            f"{where}: {max(relative, key=abs):g} is not a relative coordinate; divide by the image's size"
        )
    return [label, *numbers]


def _boxes(
    rows: list[Row], places: Sequence[tuple[Path, int]], keypoints: tuple[int, int] | None
) -> tuple[list[Row], bool]:
    """``[class, cx, cy, w, h]`` of each row, and whether longer rows are polygons."""
    if keypoints is None and _has_keypoints(rows):
        text = (
            f"YOLO labels: all {plural(len(rows), 'line has', 'lines have')} a box and {plural(len(rows[0]) - 5, 'further number')}, whose points lie in the "
            f"box: they are read as keypoints and not used; to confirm this, add kpt_shape to the YAML file"
        )
        report(Note("guessed_keypoints", text, values={"objects": len(rows)}))
        keypoints = (0, 0)
    for row, (file, number) in zip(rows, places, strict=True):
        if keypoints is not None or len(row) == 5:
            continue
        if not len(row) % 2 or max(map(abs, row[1:])) > _LARGEST_RELATIVE:  # as visible keypoints have it
            shape = f"[{(len(row) - 5) // 3}, 3]"
            raise InputError(
                f"{file}:{number}: expected class cx cy w h, or class and a polygon of x y pairs, got {plural(len(row), 'number')}; "
                f"if they are keypoints, add kpt_shape: {shape} to the YAML file of the data set"
            )
    boxes = [
        row[:5] if keypoints is not None or len(row) == 5 else [row[0], *bounding_boxes([row[1:]])[0]]
        for row in rows
    ]
    return boxes, keypoints is None


def bounding_boxes(polygons: Sequence[Row]) -> list[Row]:
    """``[cx, cy, w, h]`` around the points ``[x1, y1, x2, y2, ...]`` of each polygon."""
    pairs = [(numbers[::2], numbers[1::2]) for numbers in polygons]
    return [
        [(min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)] for x, y in pairs
    ]


def _fits_keypoints(count: int) -> bool:
    """Whether a line with this many numbers after the class can be a box and keypoints with visibility."""
    return count > 4 and (count - 4) % 3 == 0


def _coordinates(numbers: Row) -> Row:
    """The numbers after the class without those that can be the visibility 0, 1 or 2 of a keypoint."""
    if not _fits_keypoints(len(numbers)):
        return numbers
    return [v for k, v in enumerate(numbers) if k < 6 or (k - 6) % 3 or v not in (0, 1, 2)]


def _has_keypoints(rows: list[Row]) -> bool:
    """Whether the boxes of all rows contain their further points, which no set of polygons has by chance."""
    count = len(rows[0]) - 1 if rows else 0
    if (
        len(rows) < _FEWEST_ROWS
        or count <= 4
        or count == _ROTATED
        or any(len(row) != count + 1 for row in rows)
    ):
        return False
    values = np.array(rows, np.float64)[:, 1:]
    widths = [width for width in (2, 3) if (count - 4) % width == 0]
    return any(
        points_in_boxes(values[:, :4], values[:, 4:].reshape(len(rows), -1, width)[:, :, :2])
        for width in widths
    )


def points_in_boxes(boxes: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    """Whether nearly all points (N, K, 2) lie in their boxes (N, 4) cxcywh; points at the origin are not visible."""
    seen = (points != 0).any(2)
    inside = (np.abs(points - boxes[:, None, :2]) <= boxes[:, None, 2:] / 2 + _SLACK).all(2)
    return bool(seen.any() and np.count_nonzero(inside & seen) > _MOST * np.count_nonzero(seen))


def _pixels(columns: NDArray[np.float64], catalog: Catalog, image: list[int]) -> NDArray[np.float64]:
    """(N, 4) xywh in pixels of rows ``[class, cx, cy, w, h]``."""
    scale = catalog.sizes[image][:, ::-1].reshape(-1, 2)
    size = columns[:, 3:] * scale
    return np.concatenate([columns[:, 1:3] * scale - size / 2, size], axis=1)
