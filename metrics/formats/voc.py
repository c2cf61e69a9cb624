"""Pascal VOC annotations: one XML file per image.

The devkit counts pixels from 1 and a box includes its last pixel, so that xmin = 1, xmax = 3 is three pixels wide: in
our corners, counted from 0 at the image's edge, x from ``xmin - 1`` to ``xmax``. Many tools write the same XML with
coordinates of edges, where xmax - xmin is the width. A file does not tell which; `Pixels` is the choice, and the
difference is one pixel at the left and at the top.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.formats.image_annotations import bounding_corners, comma_hint
from metrics.formats.plausibility import check_annotations, require_image_size, warn_rows
from metrics.formats.untrusted import read_xml
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.registry import did_you_mean
from metrics.tables import AnnotationTable, Catalog

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Pixels = Literal["inclusive", "edges"]
"""``inclusive``: the devkit's, box ``[xmin - 1, ymin - 1, xmax, ymax]``; ``edges``: ``[xmin, ymin, xmax, ymax]``."""

_LARGEST = 16 * 2**20
_COORDINATE = re.compile(r"[xy]\d*")


@dataclass(frozen=True, slots=True, eq=False)
class VOCAnnotation:
    """The annotation of one image.

    Attributes:
        file_name: as in the file; empty if missing. It may be wrong: the devkit finds the image by the name of the XML
            file.
        size: (height, width) in pixels; (0, 0) if missing.
        names: class of each of N objects.
        boxes: (N, 4) xyxy, pixels counted from 0 at the image's edge.
        difficult: (N,) bool: counts neither as found nor as missed.
        truncated: (N,) bool: extends beyond the image. Such objects count like all others.
        without_box: number of further objects that are marked as without a box.
    """

    file_name: str
    size: tuple[int, int]
    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    difficult: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    without_box: int = 0


def read_annotation(path: str | Path, pixels: Pixels = "inclusive") -> VOCAnnotation:
    """Read the annotation of one image.

    Coordinates may be fractions. Corners that coincide or are in the wrong order are an annotation error, not an object
    of one pixel: the box has no width or height, so that it is reported as such.

    Args:
        path: an XML file. A document type or entities are refused: they can read files and exhaust memory.
        pixels: convention of the coordinates.

    Raises:
        InputError: another kind of file, an object without name, ``bndbox``, or four numbers in it, or a size of the image
            that none can have.
    """
    if pixels not in get_args(Pixels):
        raise InputError(f"unknown pixels {pixels!r}; known: {', '.join(get_args(Pixels))}")
    where = str(path)
    root = read_xml(path, "annotation", _LARGEST)
    every = _objects(root, where)
    objects = [element for element in every if not _is_without_box(element)]
    places = [f"{where}: object {number}" for number in range(1, len(objects) + 1)]
    names = [_name(element, place) for element, place in zip(objects, places, strict=True)]
    corners = np.array(
        [
            _corners(element, f"{place} ({name})", pixels)
            for element, name, place in zip(objects, names, places, strict=True)
        ]
    ).reshape(-1, 4)
    if pixels == "inclusive":
        corners[:, :2] -= 1
        # unless the first pixel is before the last, both ends move: no width rather than one pixel
        corners[:, 2:] -= corners[:, 2:] <= corners[:, :2] + 1
    height, width = (
        _number(root.findtext(f"size/{side}") or "0", f"{where}: size/{side}") for side in ("height", "width")
    )
    size = (int(height), int(width))
    require_image_size(size, where)
    return VOCAnnotation(
        (root.findtext("filename") or root.findtext("source/filename") or "").strip(),
        size,
        tuple(names),
        corners,
        _flags(objects, "difficult"),
        _flags(objects, "truncated"),
        len(every) - len(objects),
    )


def read_truth(
    xml_paths: Iterable[str | Path], classes: Sequence[str] | None = None, pixels: Pixels = "inclusive"
) -> AnnotationTable:
    """Read XML files; image ids are the file names without suffix or, if two are equal, with their folders, sorted.

    Difficult objects are `ignored` in the table; truncated ones count.

    Args:
        xml_paths: one file per image.
        classes: names, in the order of labels; by default those that occur, sorted.
        pixels: convention of the coordinates.

    Raises:
        InputError: see `read_annotation`; a repeated image; a class that is not in `classes`.
    """
    id_of = image_ids(list(map(Path, xml_paths)))
    paths = sorted(id_of, key=id_of.__getitem__)
    annotations = [read_annotation(path, pixels) for path in paths]
    without_box = sum(annotation.without_box for annotation in annotations)
    if without_box:
        text = f"VOC annotations: {plural(without_box, 'object is', 'objects are')} marked as without box (nobndbox) and left out"
        report(Note("left_out", text, "VOC annotations", {"objects": without_box}))
    if classes is None:
        classes = sorted({name for annotation in annotations for name in annotation.names})
    label = {name: index for index, name in enumerate(classes)}
    for path, annotation in zip(paths, annotations, strict=True):
        for name in annotation.names:
            if name not in label:
                known = did_you_mean(name, classes) or f"; the classes are {', '.join(classes)}"
                raise InputError(f"{path}: unknown class {name!r}{known}")
    catalog = Catalog.of(
        [id_of[path] for path in paths],
        classes,
        np.array([annotation.size for annotation in annotations], np.int64).reshape(-1, 2),
        _file_names(paths, annotations, id_of),
    )
    counts = [len(annotation.names) for annotation in annotations]
    table = AnnotationTable.of(
        catalog,
        np.repeat(np.arange(len(counts)), counts),
        np.array([label[name] for annotation in annotations for name in annotation.names], np.int64),
        convert(np.concatenate([np.zeros((0, 4)), *(each.boxes for each in annotations)]), "xyxy", "xywh"),
        ignored=np.concatenate([np.zeros(0, np.bool_), *(each.difficult for each in annotations)]),
    )
    check_annotations(table, "VOC annotations")
    return table


def _file_names(
    paths: Sequence[Path], annotations: Sequence[VOCAnnotation], id_of: dict[Path, str]
) -> list[str]:
    """File name of each image: as in its annotation unless that is the name of another annotation's image."""
    stems = {path.stem for path in paths}
    names = [annotation.file_name.replace("\\", "/") for annotation in annotations]
    own = [PurePosixPath(name) for name in names]
    other = np.array(
        [name.stem != path.stem and name.stem in stems for name, path in zip(own, paths, strict=True)],
        np.bool_,
    )
    warn_rows(
        "VOC annotations",
        other,
        "files name the image of another file; the image called like the annotation file is used",
        "renamed_images",
    )
    return [
        id_of[path] + name.suffix if wrong else written
        for path, name, written, wrong in zip(paths, own, names, other.tolist(), strict=True)
    ]


def image_ids(paths: Sequence[Path]) -> dict[Path, str]:
    """The id of the image of each XML file: its name without suffix; with folders below the common one if two are equal.

    Raises:
        InputError: a file is given twice.
    """
    if len(set(paths)) < len(paths):
        raise InputError(f"{next(path for path in paths if paths.count(path) > 1)}: is given twice")
    ids = {path: path.stem for path in paths}
    if len(set(ids.values())) < len(paths):
        common = Path(os.path.commonpath([path.parent for path in paths]))
        ids = {path: path.relative_to(common).with_suffix("").as_posix() for path in paths}
    return ids


def without_turned_twins(files: Sequence[Path]) -> list[Path]:
    """The files but those of turned boxes of images that have upright ones as well, as DIOR has in two folders; reported."""
    upright = {file.name for file in files if file.parent.name.lower().startswith("horizontal")}
    turned = [
        file for file in files if file.parent.name.lower().startswith("oriented") and file.name in upright
    ]
    if turned:
        folder = turned[0].parent
        text = f"{folder}: {plural(len(turned), 'file is', 'files are')} not read, because those of upright boxes are; to read them, move the others away"
        report(Note("files_beside", text, str(folder), {"files": len(turned)}))
    left_out = set(turned)
    return [file for file in files if file not in left_out]


def _is_without_box(element: Element) -> bool:
    """Whether an object is marked as one without a box, as scenes and the like in Flickr30k Entities."""
    return element.find("bndbox") is None and (element.findtext("nobndbox") or "").strip() == "1"


def _objects(root: Element, where: str) -> list[Element]:
    """The objects of an annotation, which FAIR1M has in ``<objects>``.

    Raises:
        InputError: there are objects elsewhere, which would be lost.
    """
    found = [*root.findall("object"), *root.findall("objects/object")]
    if not found and root.find(".//object") is not None:
        raise InputError(f"{where}: has <object> elsewhere than in <annotation> or <objects>; move it there")
    return found


def _name(element: Element, where: str) -> str:
    """The class of an object, of FAIR1M the first possible one."""
    result = element.find("possibleresult")
    return _text(element if result is None else result, "name", where)


def _text(element: Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise InputError(f"{where}: has no <{tag}>")
    return text


def _corners(element: Element, where: str, pixels: Pixels) -> list[float]:
    """``xmin``, ``ymin``, ``xmax``, ``ymax`` of an object; of a rotated box or polygon, as edges, those of its bounding box."""
    box = element.find("bndbox")  # a direct child: parts of a person have their own boxes further down
    if box is not None:
        return [
            _number(_text(box, tag, f"{where}: bndbox"), f"{where}: {tag}")
            for tag in ("xmin", "ymin", "xmax", "ymax")
        ]
    points = _outline(element, where) or _point_list(element, where)
    if not points:
        raise InputError(f"{where}: has no <bndbox>; add it, or remove the object")
    x1, y1, x2, y2 = bounding_corners(points)
    first = 1 if pixels == "inclusive" else 0
    return [x1 + first, y1 + first, x2, y2]


def _outline(element: Element, where: str) -> list[tuple[float, float]]:
    """The corners of a ``robndbox`` of roLabelImg (angle in radians) or DIOR-R, or a ``polygon`` of ``x1``, ``y1``, ... or of ``pt``."""
    rotated = element.find("robndbox")
    if rotated is not None and rotated.find("x_left_top") is not None:
        place = f"{where}: robndbox"
        return [
            (
                _number(_text(rotated, f"x_{corner}", place), f"{where}: x_{corner}"),
                _number(_text(rotated, f"y_{corner}", place), f"{where}: y_{corner}"),
            )
            for corner in ("left_top", "right_top", "right_bottom", "left_bottom")
        ]
    if rotated is not None:
        cx, cy, w, h, angle = (
            _number(_text(rotated, tag, f"{where}: robndbox"), f"{where}: {tag}")
            for tag in ("cx", "cy", "w", "h", "angle")
        )
        cos, sin = math.cos(angle), math.sin(angle)
        halves = [(sx * w / 2, sy * h / 2) for sx in (-1, 1) for sy in (-1, 1)]
        return [(cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in halves]
    polygon = element.find("polygon")
    if polygon is None:
        return []
    values: dict[str, list[float]] = {"x": [], "y": []}
    for child in polygon.iter():
        if _COORDINATE.fullmatch(child.tag):
            values[child.tag[0]].append(_number((child.text or "").strip(), f"{where}: {child.tag}"))
    if len(values["x"]) != len(values["y"]):
        raise InputError(f"{where}: polygon: expected as many x as y")
    return list(zip(values["x"], values["y"], strict=True))


def _point_list(element: Element, where: str) -> list[tuple[float, float]]:
    """The corners ``x,y`` of FAIR1M's ``points``."""
    points = []
    for point in element.findall("points/point"):
        words = (point.text or "").split(",")
        if len(words) != 2:
            raise InputError(f"{where}: point: expected x,y, got {(point.text or '')[:40]!r}")
        points.append((_number(words[0], f"{where}: point"), _number(words[1], f"{where}: point")))
    return points


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise InputError(f"{where}: expected a number, got {text[:40]!r}{comma_hint(text)}") from error
    if not np.isfinite(number):
        raise InputError(f"{where}: expected a finite number, got {text[:40]!r}")
    return number


def _flags(objects: list[Element], tag: str) -> NDArray[np.bool_]:
    words = [(element.findtext(tag) or "").strip().lower() for element in objects]
    return np.array([word in ("1", "true", "yes") for word in words], np.bool_)
