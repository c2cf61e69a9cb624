"""Annotations image by image, as the readers of `metrics.formats.exports` give them, and the table made of them."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.formats.damaged_files import refuse_empty, report_other_files, with_damaged
from metrics.formats.file_listing import top_folder, visible_files
from metrics.formats.image_search import spellings, without_suffix
from metrics.formats.json_members import text_in
from metrics.formats.plausibility import check_annotations, require_image_size
from metrics.formats.purpose import folder_purpose, parse_purpose
from metrics.formats.scored_truth import warn_scores
from metrics.notes import Note, report
from metrics.plurals import counts_by_kind, plural
from metrics.tables import AnnotationTable, Catalog

_WITH_COMMA = re.compile(r"-?\d+(,\d+)+([.]\d+)?")
_THOUSANDS = re.compile(r",\d{3}\b")

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """One annotated object.

    Attributes:
        label: its class; empty for a region that is ignored for every class.
        corners: xyxy in pixels, counted from 0 at the image's edge; fractions of its sides if the image is `relative`.
        ignored: counts neither as found nor as missed.
        crowd: a region in which any number of detections may match; always so with an empty label.
        columns: numbers for `AnnotationTable.object_columns`.
        score: of an object that a model found; NaN without one. It is only reported.
    """

    label: str
    corners: Corners
    ignored: bool = False
    crowd: bool = False
    columns: Mapping[str, float] = field(default_factory=dict)
    score: float = math.nan


@dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """The objects of one image.

    Attributes:
        name: of the image's file as written; empty where the file is found by `stem`.
        boxes: its objects.
        size: (height, width) in pixels; (0, 0) if unknown.
        purpose: the split; None without splits.
        stem: path of the annotation file without suffix, where each image has its own and is called like it; else empty.
        relative: whether corners are fractions of the image's sides, whose `size` is unknown.
    """

    name: str
    boxes: tuple[Box, ...]
    size: tuple[int, int] = (0, 0)
    purpose: str | None = None
    stem: str = ""
    relative: bool = False

    def in_pixels(self, size: tuple[int, int]) -> ImageAnnotation:
        """The same objects in pixels of an image of this (height, width); unchanged if they are already."""
        if not self.relative:
            return self
        height, width = size
        boxes = [
            replace(box, corners=(x1 * width, y1 * height, x2 * width, y2 * height))
            for box in self.boxes
            for x1, y1, x2, y2 in [box.corners]
        ]
        return replace(self, boxes=tuple(boxes), size=size, relative=False)

    @property
    def unit(self) -> str:
        """What the numbers of a `relative` image are, as a clause."""
        return "boxes are fractions of the image's sides"

    @property
    def needs_image(self) -> bool:
        """Whether boxes of a `relative` image have no meaning without its size, so that none can be assumed."""
        return False

    def in_pixels_of(self, size: tuple[int, int]) -> ImageAnnotation:
        """The same objects in pixels if a written size is known, else still in fractions."""
        return self.in_pixels(size) if all(size) else self

    @property
    def path(self) -> PurePosixPath:
        """The image's path for ids: that of the annotation file if there is one for each image."""
        return PurePosixPath(self.stem or "/".join((spellings(self.name) or [(self.name,)])[0]))

    @property
    def decoded_path(self) -> PurePosixPath:
        """The same, without ``%20`` and the like in a written name."""
        return self.path if self.stem else PurePosixPath(unquote(str(self.path)))


@dataclass(frozen=True, slots=True)
class Export:
    """A layout of annotation files.

    Attributes:
        name: its name on the command line; the name of its file in `metrics.formats.exports`.
        summary: one line for `bench list`.
        source: page that describes the layout.
        looks_for: the files that it is recognised by, as a phrase for error messages.
        files: return the annotation files of a path, sorted; an empty list where it does not have the layout.
        read: read the images of a path from these files.
        images: folders of images, relative to the path or to the annotation files.
        per_image: whether each image has a file of its own, so that other files of the suffix beside these are reported.
    """

    name: str
    summary: str
    source: str
    looks_for: str
    files: Callable[[Path], list[Path]]
    read: Callable[[Path, Sequence[Path]], list[ImageAnnotation]]
    images: tuple[str, ...] = ("images",)
    per_image: bool = False

    def annotations(self, path: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
        """The images of a path from the files that `files` found, with a note on files beside these that are not read.

        Raises:
            InputError: as of `read`; or a file is empty that is not the text of one image.
        """
        refuse_empty([file for file in files if not self.per_image or file.suffix.lower() != ".txt"])
        if self.per_image:
            report_other_files(files, top_folder(path))
        return self.read(path, files)


@cache
def exports() -> Mapping[str, Export]:
    """The layouts by name: the `EXPORT` of each module of `metrics.formats.exports`, in alphabetical order."""
    package = importlib.import_module("metrics.formats.exports")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found: dict[str, Export] = {
        name: importlib.import_module(f"{package.__name__}.{name}").EXPORT for name in names
    }
    return found


def export_table(
    images: Sequence[ImageAnnotation], where: str, classes: Sequence[str] | None = None
) -> tuple[AnnotationTable, list[int]]:
    """Make a table of annotations.

    Args:
        images: the images; ids are their file names without suffix or, if two are equal, their paths.
        where: file for messages.
        classes: names in the order of labels; by default those that occur, sorted.

    Returns:
        The table, and the index of each image of its catalog in `images`.

    Raises:
        InputError: an image is listed twice.
    """
    if classes is None:
        classes = sorted({box.label for image in images for box in image.boxes if box.label})
    ids = _ids([image.decoded_path for image in images], images)
    if len(set(ids)) < len(ids):
        ids = _ids([image.path for image in images], images)
    repeated = [identity for identity, count in Counter(ids).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: image {repeated[0]!r} is listed twice; merge its annotations")
    order = sorted(range(len(images)), key=ids.__getitem__)
    ordered = [images[i] for i in order]
    for image in ordered:
        require_image_size(image.size, f"{where}: image {image.stem!r}")
    label = {name: k for k, name in enumerate(classes)}
    rows = [
        (i, k, box.corners, box.ignored, box.crowd or not box.label, box.columns)
        for i, image in enumerate(ordered)
        for box in image.boxes
        for k in ([label[box.label]] if box.label else range(len(classes)))
    ]
    catalog = Catalog.of(
        [ids[i] for i in order],
        classes,
        np.array([image.size for image in ordered], np.int64).reshape(-1, 2),
        [image.name or image.stem for image in ordered],
    )
    table = AnnotationTable.of(
        catalog,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        convert(np.array([row[2] for row in rows], np.float64).reshape(-1, 4), "xyxy", "xywh"),
        crowd=np.array([row[4] for row in rows], np.bool_),
        ignored=np.array([row[3] for row in rows], np.bool_),
    )
    names = sorted({name for row in rows for name in row[5]})
    if names:
        further = {name: np.array([row[5].get(name, np.nan) for row in rows]) for name in names}
        table = replace(table, object_columns=further)
    warn_scores(np.array([box.score for image in ordered for box in image.boxes], np.float64), where)
    check_annotations(table, where)
    return table, order


def _ids(paths: Sequence[PurePosixPath], images: Sequence[ImageAnnotation]) -> list[str]:
    """File names without suffix or, if two are equal, paths without or with suffix."""
    bare = [
        path if image.stem else PurePosixPath(without_suffix(str(path)))
        for path, image in zip(paths, images, strict=True)
    ]
    for ids in ([path.name for path in bare], list(map(str, bare))):
        if len(set(ids)) == len(ids):
            return ids
    return list(map(str, paths))


def find_files(
    path: Path,
    ending: str | tuple[str, ...],
    patterns: Sequence[str],
    is_ours: Callable[[Path], bool] = lambda file: True,
    tried: int | None = None,
) -> list[Path]:
    """The files of a format: `path` itself, or those below it that match the first pattern with any.

    Files that are damaged, so that their format cannot be told, are among them (see `with_damaged`).

    Args:
        path: a file or a folder.
        ending: of the file's name, in lower case; one of several.
        patterns: of files below a folder.
        is_ours: whether the content of a file is of this format.
        tried: number of files of a pattern of which one must be of this format, in folders with a file for each image; all by
            default.
    """
    if path.is_file():
        return [path] if path.name.lower().endswith(ending) and is_ours(path) else []
    for pattern in patterns:
        files = visible_files(path, pattern)
        if tried is not None and not any(is_ours(file) for file in files[:tried]):
            continue
        if ours := [file for file in files if is_ours(file)]:
            return with_damaged(ours, files, everywhere=tried is not None)
    return []


def without_partial_purposes(images: list[ImageAnnotation]) -> list[ImageAnnotation]:
    """The images with the splits that were found for them, if there is one for every image; else with none."""
    if all(image.purpose for image in images):
        return images
    return [replace(image, purpose=None) for image in images]


def bounding_corners(points: Sequence[Sequence[float]]) -> Corners:
    """The corners of the smallest box around points (x, y)."""
    x, y = [point[0] for point in points], [point[1] for point in points]
    return min(x), min(y), max(x), max(y)


def rotated_corners(corners: Corners, pivot: tuple[float, float], degrees: float) -> Corners:
    """The corners of the smallest box around a box that is turned clockwise about a point."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    if not sin and cos > 0:
        return corners
    (x1, y1, x2, y2), (u, v) = corners, pivot
    turned = [
        (u + (x - u) * cos - (y - v) * sin, v + (x - u) * sin + (y - v) * cos)
        for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    ]
    return bounding_corners(turned)


def ellipse_corners(centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> Corners:
    """The corners of the smallest box around an ellipse that is turned clockwise about its centre.

    Args:
        centre: x, y.
        radii: of its two axes, before it is turned along x and along y.
        degrees: angle.
    """
    (x, y), (a, b), angle = centre, radii, math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    w, h = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
    return x - w, y - h, x + w, y + h


def file_purpose(file: Path, root: Path, files: Sequence[Path]) -> str | None:
    """The split that an annotation file or its folder is named after, if it is one of several files.

    Args:
        file: one of `files`.
        root: the data set: its folder, or a file in it.
        files: all annotation files.
    """
    if len(files) < 2:
        return None
    top = top_folder(root)
    folders = file.relative_to(top).parts[:-1] if file.is_relative_to(top) else ()
    return parse_purpose(file.stem) or folder_purpose(folders)


def folder_prefix(file: Path, root: Path) -> str:
    """The name of an annotation file's folder with a slash, for the paths of its images; empty in the top folder of `root`."""
    return f"{file.parent.name}/" if file.parent != top_folder(root) else ""


def image_folders(file: Path, top: Path) -> list[str]:
    """The folders below `top` of the image of an annotation file: its own without ``annotations``."""
    return [folder for folder in file.relative_to(top).parts[:-1] if folder != "annotations"]


def corner_box(row: Mapping[str, Any], label: str, corners: str, where: str) -> Box:
    """The box of a JSON object with a class and a list of corners.

    Args:
        row: the object.
        label: key of the class.
        corners: key of ``[x1, y1, x2, y2]``.
        where: file and element, for messages.

    Raises:
        InputError: a value is missing or of another type.
    """
    name = text_in(row, label, where)
    return Box(name, four_numbers(row.get(corners), f"{where}: {corners}", "[x1, y1, x2, y2]"))


def report_left_out(
    counts: Counter[str], where: str, what: tuple[str, str] = ("entry is", "entries are")
) -> None:
    """Report how many annotations are left out, and of which kinds, if there are any.

    Args:
        counts: numbers by kind.
        where: file or folder, for the message.
        what: what a single one is and why, such as ``shape encloses no area and is``, and the same of several ones.
    """
    if counts:
        text = f"{where}: {plural(counts.total(), *what)} left out: {counts_by_kind(counts)}"
        report(Note("left_out", text, where, {"annotations": counts.total()}))


def number(value: object, where: str) -> float:
    """A finite number of JSON or text.

    Raises:
        InputError: another value.
    """
    try:
        result = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        )
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise InputError(f"{where}: expected a finite number, got {str(value)[:40]!r}{comma_hint(value)}")
    return result


def four_numbers(value: object, where: str, form: str = "[x, y, w, h]") -> tuple[float, float, float, float]:
    """The finite numbers of a list of four; their meaning is the caller's.

    Args:
        value: of JSON or text.
        where: file, element and field, for messages.
        form: how the four are written, for messages.

    Raises:
        InputError: not a list of four, or one of them is not a finite number.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise InputError(f"{where}: expected four numbers {form}")
    first, second, third, fourth = (number(each, where) for each in value)
    return first, second, third, fourth


def comma_hint(value: object) -> str:
    """What to do about a number with commas, as a clause; empty for any other value."""
    if not isinstance(value, str) or not _WITH_COMMA.fullmatch(value.strip()):
        return ""
    return "; write a decimal point" + ", and thousands without a separator" * bool(_THOUSANDS.search(value))
