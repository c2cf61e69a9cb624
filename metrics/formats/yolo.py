"""YOLO data sets: a YAML file with folders and class names, and a text file of boxes for each image.

A line of such a file is ``class cx cy w h``, or ``class x1 y1 x2 y2 x3 y3 ...`` for a polygon, whose bounding
box is used. Coordinates are relative to the image's width and height. An image without a text file, or with an empty
one, has no objects.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError, InputWarning
from metrics.formats.plausibility import check_annotations, warn_rows
from metrics.formats.untrusted import read_text, resolve_under
from metrics.tables import AnnotationTable, Catalog

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes of image files, in lower case."""

_LARGEST_RELATIVE = 1.5  # boxes beyond the border are a little above 1, pixel coordinates far above


@dataclass(frozen=True, slots=True)
class YOLODescription:
    """The contents of a data set's YAML file.

    Attributes:
        root: the data set's folder, absolute.
        names: C class names; a label is an index into them.
        splits: the images of ``train``, ``val`` and ``test``, where the file has them: sorted absolute paths.
    """

    root: Path
    names: tuple[str, ...]
    splits: dict[str, list[Path]]


def read_yaml(path: str | Path) -> YOLODescription:
    """Read the description of a data set. No code in it is run: ``download:`` is ignored, and tags are refused.

    ``path`` is the folder of the data set, absolute or relative to that of the YAML file; without it, or if it does not
    exist, it is the folder of the YAML file. A split is a folder, a text file with one image per line, or a list of
    these, all below the folder of the data set. ``names`` is a list, or a dict with keys 0, 1, ...

    Raises:
        InputError: another kind of file, missing names or gaps in them, or a split that does not exist or is elsewhere.
    """
    path = Path(path)
    document = _load(path)
    names = _names(document, path)
    root = _root(document, path)
    splits = {}
    for split in ("train", "val", "test"):
        given = document.get(split)
        if given is None:
            continue
        entries = given if isinstance(given, list) else [given]
        images = [image for entry in entries for image in _images(entry, root, f"{path}: {split}")]
        if not images:
            raise InputError(f"{path}: {split}: no images in {', '.join(map(str, entries))}")
        splits[split] = sorted(set(images))
    if not splits:
        raise InputError(f"{path}: has no train, val or test; expected folders of images")
    return YOLODescription(root, names, splits)


def label_path(image: Path) -> Path:
    """The text file of an image: the last folder ``images`` in its path becomes ``labels``, else beside the image."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def images_beside(folder: Path) -> list[Path]:
    """Images of a data set without a YAML file: in ``images``, ``obj_train_data``, or the folder; sorted.

    Raises:
        InputError: there are none.
    """
    for place in (folder / "images", folder / "obj_train_data", folder):
        images = sorted(file for file in place.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        if images:
            return images
    raise InputError(f"{folder}: no images in images, obj_train_data or the folder itself")


def read_truth(
    image_paths: Iterable[str | Path],
    sizes: ArrayLike,
    names: Sequence[str],
    labels: str | Path | None = None,
) -> AnnotationTable:
    """Read the boxes of images from their text files.

    Args:
        image_paths: I images. Their ids are the file names without suffix or, if two are equal, the paths below their
            common folder without suffix.
        sizes: (I, 2) (height, width) in pixels, in the order of `image_paths`.
        names: C class names.
        labels: the folder of the text files; by default see `label_path`.

    Raises:
        InputError: an invalid line, a class beyond `names`, or coordinates in pixels; with file and line.
    """
    paths = [Path(path) for path in image_paths]
    extents = np.asarray(sizes, np.int64).reshape(-1, 2)
    if len(extents) != len(paths):
        raise InputError(f"sizes: expected one per image, {len(paths)}, got {len(extents)}")
    ids, file_names = _identities(paths)
    order = sorted(range(len(paths)), key=ids.__getitem__)
    image: list[int] = []
    rows: list[list[float]] = []
    for index, i in enumerate(order):
        file = label_path(paths[i]) if labels is None else Path(labels) / f"{paths[i].stem}.txt"
        boxes = _read_boxes(file, len(names)) if file.exists() else []
        rows += boxes
        image += [index] * len(boxes)
    if paths and not rows:
        file = label_path(paths[0]) if labels is None else Path(labels)
        warn_rows("YOLO labels", np.ones(len(paths), np.bool_), f"images have no boxes (looked for {file})")
    catalog = Catalog.of([ids[i] for i in order], names, extents[order], [file_names[i] for i in order])
    columns = np.array(rows, np.float64).reshape(-1, 5)
    table = AnnotationTable.of(
        catalog, np.array(image, np.int64), columns[:, 0].astype(np.int64), _pixels(columns, catalog, image)
    )
    check_annotations(table, "YOLO labels")
    return table


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(read_text(path))
    except yaml.constructor.ConstructorError as error:
        raise InputError(f"{path}: {error.problem}; only plain values are allowed") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected train, val and names, got {type(document).__name__}")
    return document


def _names(document: dict[str, Any], path: Path) -> tuple[str, ...]:
    names, count = document.get("names"), document.get("nc")
    if names is None and isinstance(count, int):
        return tuple(map(str, range(count)))
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise InputError(
                f"{path}: names: expected classes 0 .. {len(names) - 1} without a gap, got {list(names)}"
            )
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(f"{path}: names: expected a list of class names, or a dict with keys 0, 1, ...")
    if count is not None and count != len(names):
        raise InputError(f"{path}: nc is {count}, but there are {len(names)} names")
    return tuple(map(str, names))


def _root(document: dict[str, Any], path: Path) -> Path:
    parent = path.parent.resolve()
    given = document.get("path")
    if given is None:
        return parent
    root = (parent / str(given)).resolve()
    if not root.is_dir():
        warnings.warn(
            f"{path}: path: folder {root} does not exist; {parent} is used instead",
            InputWarning,
            stacklevel=3,
        )
        return parent
    return root


def _images(entry: Any, root: Path, where: str) -> list[Path]:
    """The images of one entry of a split: those in a folder, or those in a list."""
    if not isinstance(entry, str):
        raise InputError(f"{where}: expected a folder or a text file, got {entry!r}")
    inside = str(Path(entry).relative_to(root)) if Path(entry).is_relative_to(root) else entry
    # exports often have ../train/images, relative to a folder of the exporting program
    while inside.startswith("../") and not (root / inside).resolve().is_relative_to(root):
        inside = inside[3:]
    try:
        place = resolve_under(root, inside)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if place.is_dir():
        images = sorted(file for file in place.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        _warn_about_orphans(images, where)
        return images
    if not place.is_file():
        raise InputError(f"{where}: {place}: no such folder or list of images")
    images = []
    for number, line in enumerate(read_text(place).splitlines(), 1):
        if line.strip():
            try:
                images.append(_listed(line.strip(), place.parent, root))
            except InputError as error:
                raise InputError(f"{place}:{number}: {error}") from error
    return images


def _listed(line: str, folder: Path, root: Path) -> Path:
    """An image in a list: relative to the folder of the data set, or with ``./`` to that of the list."""
    if Path(line).is_absolute() and Path(line).is_relative_to(root):
        return resolve_under(root, str(Path(line).relative_to(root)))
    image = resolve_under(root, os.path.relpath(folder / line, root) if line.startswith("./") else line)
    if image.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f"{line!r}: is not an image; known suffixes are {', '.join(sorted(IMAGE_SUFFIXES))}")
    return image


def _warn_about_orphans(images: list[Path], where: str) -> None:
    """Warn about label files without an image, in folders that contain only labels."""
    labels = {label_path(image) for image in images}
    folders = {label.parent for label in labels} - {image.parent for image in images}
    files = [file for folder in folders for file in folder.glob("*.txt")]
    orphans = np.array([file not in labels for file in files], np.bool_)
    warn_rows(where, orphans, "label files have no image; they are left out")


def _identities(paths: list[Path]) -> tuple[list[str], list[str]]:
    """Ids and file names of images, the latter relative to their common folder."""
    if not paths:
        return [], []
    common = Path(os.path.commonpath([path.parent for path in paths]))
    relative = [path.relative_to(common) for path in paths]
    ids = [path.stem for path in paths]
    if len(set(ids)) < len(ids):
        ids = [path.with_suffix("").as_posix() for path in relative]
    return ids, [path.as_posix() for path in relative]


def _read_boxes(file: Path, count: int) -> list[list[float]]:
    """``[class, cx, cy, w, h]`` of each line."""
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if words:
            rows.append(_box(words, count, f"{file}:{number}"))
    return rows


def _box(words: list[str], count: int, where: str) -> list[float]:
    try:
        label, *numbers = map(float, words)
    except ValueError as error:
        raise InputError(f"{where}: expected numbers, got {' '.join(words)[:60]!r}") from error
    if len(numbers) == 5:
        raise InputError(
            f"{where}: has six numbers, but a label has five; is the last one a score? These look like detections"
        )
    if len(numbers) < 4 or len(numbers) % 2:
        raise InputError(
            f"{where}: expected class cx cy w h, or class and a polygon of x y pairs, got {len(words)} numbers"
        )
    if not np.isfinite(numbers).all():
        raise InputError(f"{where}: expected finite numbers, got {' '.join(words)[:60]!r}")
    if not label.is_integer() or not 0 <= label < count:
        raise InputError(f"{where}: class {words[0]}, but there are {count} names: expected 0 .. {count - 1}")
    if max(map(abs, numbers)) > _LARGEST_RELATIVE:
        raise InputError(
            f"{where}: {max(numbers, key=abs):g} is not a relative coordinate; divide by the image's size"
        )
    if len(numbers) > 4:
        x, y = numbers[::2], numbers[1::2]
        numbers = [(min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]
    return [label, *numbers]


def _pixels(columns: NDArray[np.float64], catalog: Catalog, image: list[int]) -> NDArray[np.float64]:
    """(N, 4) xywh in pixels of rows ``[class, cx, cy, w, h]``."""
    scale = catalog.sizes[image][:, ::-1].reshape(-1, 2)
    size = columns[:, 3:] * scale
    return np.concatenate([columns[:, 1:3] * scale - size / 2, size], axis=1)
