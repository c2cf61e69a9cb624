"""The columns of COCO's lists as in the file: ids are not looked up, missing numbers are NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputNote
from metrics.formats.coco_spelling import with_ids_of_categories, with_named_files
from metrics.formats.identity import INTEGER, to_python
from metrics.formats.plausibility import warn_repeated_ids, warn_rows
from metrics.formats.records import Record, boxes, integers, numbers, strings
from metrics.formats.scored_truth import score_in
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.tables import ImageId, ImageValue

ImageIds = NDArray[np.int64] | Sequence[ImageId]
"""Integers as an array; strings as a list."""

STANDARD_KEYS = frozenset(
    ("id", "width", "height", "file_name", "license", "flickr_url", "coco_url", "date_captured", "split")
)
"""Keys of an image that the format defines, and `split`; they do not group images."""

VERIFIED_CLASSES = {"neg_category_ids": "negative", "not_exhaustive_category_ids": "not_exhaustive"}
"""Keys of LVIS's images with class ids, and their names in `Catalog.image_classes`."""

CLASS_KEYS = ("frequency", "image_count")
"""Keys of LVIS's categories that are kept in `Catalog.class_columns`."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Categories of a file.

    Attributes:
        ids: sorted.
        names: as in the file; the id where there is none.
        root: the id of a category that is the supercategory of all others, as Roboflow writes; None without one.
        columns: `CLASS_KEYS` that are in the file, for each id.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    root: int | None = None
    columns: Mapping[str, tuple[ImageValue, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Images:
    """Images of a file; of several with the same id the last, as in pycocotools.

    Attributes:
        columns: custom keys that group images.
        classes: class ids by the names of `VERIFIED_CLASSES`; empty tuples where an image has none.
    """

    ids: Sequence[ImageId]
    sizes: NDArray[np.int64]
    file_names: Sequence[str]
    columns: Mapping[str, Sequence[ImageValue]] = field(default_factory=dict)
    classes: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Objects:
    """Annotations as in the file; missing numbers are NaN."""

    image_ids: ImageIds
    class_ids: NDArray[np.int64]
    xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.float64]
    ignore: NDArray[np.float64]
    object_ids: NDArray[np.int64] | None
    score: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Results:
    """Results as in the file.

    Attributes:
        image_ids: N ids or names.
        class_ids: (N,).
        xywh: (N, 4) in pixels, or in fractions of the image's sides.
        score: (N,).
        relative: whether boxes are in fractions.
        mapped: whether class ids are already those of the ground truth, made of names.
        file_names: N names of images' files, which some tools add to the ids; None without them.
    """

    image_ids: ImageIds
    class_ids: NDArray[np.int64]
    xywh: NDArray[np.float64]
    score: NDArray[np.float64]
    relative: bool = False
    mapped: bool = False
    file_names: Sequence[str] | None = None


def read_images(rows: list[Record], where: str) -> Images:
    """Images of parsed JSON; missing sizes are 0, missing file names empty."""
    names = [
        name or written_in_url(row)
        for name, row in zip(strings(rows, "file_name", where, default=""), rows, strict=True)
    ]
    names = with_named_files(names, rows, where)
    sizes = np.stack([integers(rows, key, where, default=0) for key in ("height", "width")], axis=1)
    ids = _image_ids(rows, "id", where)
    return keep_first(ids, sizes, names, where, _grouping(rows), _verified_classes(rows, where))


def written_in_url(row: Record) -> str:
    """The last folder and the file in an image's ``coco_url``, as of LVIS, which has no file names; else empty."""
    url = row.get("coco_url")
    return "/".join(url.split("?")[0].split("/")[-2:]) if isinstance(url, str) else ""


def custom_keys(keys: Iterable[str]) -> list[str]:
    """The keys of an image that the format does not define."""
    return [key for key in keys if key not in STANDARD_KEYS]


def keep_first(
    ids: ImageIds,
    sizes: NDArray[np.int64],
    names: Sequence[str],
    where: str,
    columns: Mapping[str, Sequence[ImageValue]] | None = None,
    classes: Mapping[str, Sequence[tuple[int, ...]]] | None = None,
) -> Images:
    """Images; of several with the same id the first.

    Raises:
        InputError: a size is negative, or larger than any image.
    """
    wrong = np.flatnonzero(((sizes < 0) | (sizes >= 2**31)).any(1))
    if len(wrong):
        row = int(wrong[0])
        height, width = sizes[row].tolist()
        raise InputError(
            f"{where}[{row}] (id {to_python(ids)[row]!r}): has {width} x {height} pixels; correct its width and height, or "
            f"leave them out"
        )
    first = warn_repeated_ids(where, ids, "images", "the first image of each is used")
    kept = np.flatnonzero(first).tolist()
    all_ids = to_python(ids)
    kept_columns = {key: [column[row] for row in kept] for key, column in (columns or {}).items()}
    kept_classes = {key: [lists[row] for row in kept] for key, lists in (classes or {}).items()}
    return Images(
        [all_ids[row] for row in kept], sizes[kept], [names[row] for row in kept], kept_columns, kept_classes
    )


def read_objects(rows: list[Record], where: str, classes: Classes) -> Objects:
    """Annotations of parsed JSON, whose classes may be names of `classes`.

    Their ids are optional: if one is missing or not an integer, there are none.
    """
    rows = with_ids_of_categories(rows, dict(zip(classes.ids, classes.names, strict=True)), where)
    numbered = all(type(row.get("id")) is int and -(2**63) <= row["id"] < 2**63 for row in rows)
    return Objects(
        _image_ids(rows, "image_id", where),
        integers(rows, "category_id", where),
        _object_boxes(rows, where),
        numbers(rows, "area", where, default=np.nan),
        _flag_numbers(rows, "iscrowd", where),
        _flag_numbers(rows, "ignore", where),
        integers(rows, "id", where) if numbered else None,
        np.array([score_in(row) for row in rows], np.float64),
    )


def ids_like_images(images: Images, objects: Objects, where: str) -> Objects:
    """The annotations with image ids that are text or integers like those of the images, which is reported if they are not."""
    ids = to_python(objects.image_ids)
    known = {type(identity) for identity in images.ids}
    if not ids or len(known) != 1 or type(ids[0]) in known:
        return objects
    read: ImageIds
    if str in known:
        read = list(map(str, ids))
    elif all(isinstance(identity, str) and INTEGER.fullmatch(identity) for identity in ids):
        read = np.array([int(identity) for identity in ids], np.int64)
    else:
        return objects
    kinds = ("text", "numbers") if str in known else ("numbers", "text")
    text = f"{where}: ids of images are {kinds[0]} in images and {kinds[1]} in annotations; {ids[0]!r} is read as {to_python(read)[0]!r}"
    report(Note("numbers_as_text", text, where, {"values": len(ids), "of": len(ids)}))
    return replace(objects, image_ids=read)


def read_classes(rows: list[Record], where: str) -> Classes:
    """The categories of parsed JSON; of several with the same id the first."""
    names = _names(rows, where)
    ids = integers(rows, "id", where).tolist()
    first = np.flatnonzero(warn_repeated_ids(where, ids, "categories", "the first name of each is used"))
    named = {ids[row]: names[row] or str(ids[row]) for row in first.tolist()}
    row_of = {ids[row]: rows[row] for row in first.tolist()}
    nameless = [ids[row] for row in first.tolist() if not names[row]]
    if nameless:
        text = f"{where}: {plural(len(nameless), 'category has', 'categories have')} no name, such as {nameless[0]}; the id is used as the name"
        report(Note("made_names", text, where, {"classes": len(nameless)}))
    order = sorted(named)
    columns = {
        key: tuple(_plain(row_of[identity].get(key)) for identity in order)
        for key in CLASS_KEYS
        if any(key in row for row in rows)
    }
    return Classes(
        tuple(order), tuple(named[identity] for identity in order), _root(rows, ids, names), columns
    )


def _names(rows: list[Record], where: str) -> list[str]:
    """Names of categories; empty where there is none. Numbers are read as they are written, which is reported."""
    numbers = [row["name"] for row in rows if type(row.get("name")) in (int, float)]
    if numbers:
        text = f"{where}: {len(numbers):,} of {plural(len(rows), 'name')} {agree(len(numbers), 'is a number', 'are numbers')}, such as {numbers[0]}; {agree(len(numbers), 'it is', 'they are')} read as text"
        report(Note("numbers_as_names", text, where, {"classes": len(numbers)}))
        rows = [
            {**row, "name": str(row["name"])} if type(row.get("name")) in (int, float) else row
            for row in rows
        ]
    return strings(rows, "name", where, default="")


def _plain(value: object) -> ImageValue:
    """An integer or a string; None for any other value."""
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _root(rows: list[Record], ids: Sequence[int], names: Sequence[str]) -> int | None:
    """The one category without a supercategory whose name is that of all others."""
    tops = [k for k, row in enumerate(rows) if _plain(row.get("supercategory")) in (None, "", "none")]
    if len(tops) != 1 or len(rows) < 2:
        return None
    below = {_plain(row.get("supercategory")) for k, row in enumerate(rows) if k != tops[0]}
    return ids[tops[0]] if below == {names[tops[0]]} else None


def read_results(rows: list[Record], where: str) -> Results:
    """Results of parsed JSON."""
    if rows and "bbox" not in rows[0] and {"segmentation", "keypoints"} & set(rows[0]):
        raise InputError(f"{where}: results of masks or keypoints without bbox; only boxes are supported")
    if rows and "bbox" in rows[0] and "score" not in rows[0] and "area" in rows[0]:
        raise InputError(f"{where}[0]: has area but no score, as annotations do; expected results")
    return Results(
        _image_ids(rows, "image_id", where),
        integers(rows, "category_id", where),
        boxes(rows, "bbox", where),
        numbers(rows, "score", where),
        file_names=strings(rows, "file_name", where, default="")
        if any("file_name" in row for row in rows)
        else None,
    )


def _object_boxes(rows: list[Record], where: str) -> NDArray[np.float64]:
    """(N, 4) xywh; of an object without ``bbox`` the box of its polygons, which is reported."""
    empty = np.array([row.get("bbox") in (None, []) for row in rows], np.bool_)
    if not empty.any():
        return boxes(rows, "bbox", where)
    rows = [
        row | {"bbox": _polygon_box(row.get("segmentation"))} if without else row
        for row, without in zip(rows, empty.tolist(), strict=True)
    ]
    lacking = [k for k in np.flatnonzero(empty).tolist() if rows[k]["bbox"] is None]
    if lacking:
        identity = rows[lacking[0]].get("id")
        others = f", also in {plural(len(lacking) - 1, 'other annotation')}" if len(lacking) > 1 else ""
        raise InputError(
            f"{where}[{lacking[0]}] (id {identity!r}): bbox: missing or empty{others}, "
            f"and there is no polygon in segmentation; expected four numbers [x, y, w, h]: add them, or remove the annotation"
        )
    warn_rows(
        where,
        empty,
        "annotations have a missing or empty bbox; the box of their segmentation is used",
        "boxes_of_polygons",
        InputNote,
    )
    return boxes(rows, "bbox", where)


def _polygon_box(segmentation: object) -> list[float] | None:
    """Xywh of all polygons ``[[x1, y1, x2, y2, ...], ...]``, or of a mask in COCO's run-length code; None without one."""
    if isinstance(segmentation, dict):
        return _mask_box(segmentation)
    polygons = segmentation if isinstance(segmentation, list) else []
    polygons = [polygons] if polygons and not isinstance(polygons[0], list) else polygons
    points = [value for polygon in polygons if isinstance(polygon, list) for value in polygon]
    if len(points) < 4 or len(points) % 2 or not {type(value) for value in points} <= {int, float}:
        return None
    x, y = points[::2], points[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def _mask_box(mask: Record) -> list[float] | None:
    """Xywh of a mask given as column-major counts ``{"size": [h, w], "counts": [...]}``; None if it is not such."""
    size, counts = mask.get("size"), mask.get("counts")
    if (
        not isinstance(size, list)
        or not isinstance(counts, list)
        or {type(v) for v in [*size, *counts]} != {int}
    ):
        return None
    height = size[0] if len(size) == 2 else 0
    ends = np.cumsum(np.array(counts, np.int64))
    if height <= 0 or not len(ends) or ends[-1] != height * size[1] or min(counts) < 0:
        return None
    x: list[int] = []
    y: list[int] = []
    for first, last in zip(ends[:-1:2].tolist(), (ends[1::2] - 1).tolist(), strict=False):
        if last >= first:
            x += [first // height, last // height]
            y += [0, height - 1] if first // height != last // height else [first % height, last % height]
    return [min(x), min(y), max(x) - min(x) + 1, max(y) - min(y) + 1] if x else None


def _grouping(rows: list[Record]) -> dict[str, list[ImageValue]]:
    """The custom keys of the first image whose values group images: neither all equal nor all different.

    Values are integers or strings; None for an image without the key.
    """
    columns = {}
    for key in custom_keys(rows[0] if rows else ()):
        column = [row.get(key) for row in rows]
        if set(map(type, column)) <= {int, str, type(None)} and 1 < len(set(column)) < len(column):
            columns[key] = column
    return columns


def _verified_classes(rows: list[Record], where: str) -> dict[str, list[tuple[int, ...]]]:
    """The class ids of `VERIFIED_CLASSES` of each image, of the keys that any image has.

    Raises:
        InputError: a value is not a list of whole numbers.
    """
    found = {}
    for key, name in VERIFIED_CLASSES.items():
        if any(key in row for row in rows):
            lists = [row.get(key) or [] for row in rows]
            for number, (row, ids) in enumerate(zip(rows, lists, strict=True)):
                if not isinstance(ids, list) or not {type(each) for each in ids} <= {int}:
                    raise InputError(
                        f"{where}[{number}] (id {row.get('id')!r}): {key}: expected a list of category ids, got {str(ids)[:40]}"
                    )
            found[name] = [tuple(ids) for ids in lists]
    return found


def _image_ids(rows: list[Record], key: str, where: str) -> NDArray[np.int64] | list[ImageId]:
    """Integers as an array; if all are strings, a list."""
    if rows and isinstance(rows[0].get(key), str):
        names: list[ImageId] = [*strings(rows, key, where)]
        return names
    return integers(rows, key, where)


def _flag_numbers(rows: list[Record], key: str, where: str) -> NDArray[np.float64]:
    """Flags 0 and 1, or true and false; NaN where missing."""
    flags = [{key: int(row[key]) if row.get(key) in (True, False) else row.get(key)} for row in rows]
    return numbers(flags, key, where, default=np.nan)
