"""The columns of COCO's lists, as they stand in a file: ids not yet looked up, missing numbers NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.formats.identity import plain
from metrics.formats.plausibility import tell
from metrics.formats.records import Record, boxes, integers, numbers, strings
from metrics.tables import ImageId, ImageValue

ImageIds = NDArray[np.int64] | Sequence[ImageId]
"""Whole numbers as an array; otherwise a list."""

OF_EVERY_IMAGE = frozenset(
    ("id", "width", "height", "file_name", "license", "flickr_url", "coco_url", "date_captured", "split")
)
"""Keys of an image that the format itself has, and `split`: none says which images are alike."""

Classes = tuple[tuple[int, ...], tuple[str, ...]]
"""Ids, sorted, and names."""


@dataclass(frozen=True, slots=True)
class Images:
    """A file's images; of those with the same id the last, which is the reference's choice."""

    ids: Sequence[ImageId]
    sizes: NDArray[np.int64]
    file_names: Sequence[str]
    columns: Mapping[str, Sequence[ImageValue]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Objects:
    """Annotations as they stand in a file; NaN where a number is missing."""

    image_ids: ImageIds
    class_ids: NDArray[np.int64]
    xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.float64]
    ignore: NDArray[np.float64]
    object_ids: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Found:
    """Results as they stand in a file."""

    image_ids: ImageIds
    class_ids: NDArray[np.int64]
    xywh: NDArray[np.float64]
    score: NDArray[np.float64]


def read_images(rows: list[Record], where: str) -> Images:
    """Images of parsed JSON; a missing size is 0, a missing file name empty."""
    names = strings(rows, "file_name", where, default="")
    sizes = np.stack([integers(rows, key, where, default=0) for key in ("height", "width")], axis=1)
    return last_images(_image_ids(rows, "id", where), sizes, names, where, _grouping(rows))


def further_keys(keys: Iterable[str]) -> list[str]:
    """Those of an image's keys that are somebody's own."""
    return [key for key in keys if key not in OF_EVERY_IMAGE]


def last_images(
    ids: ImageIds,
    sizes: NDArray[np.int64],
    names: Sequence[str],
    where: str,
    columns: Mapping[str, Sequence[ImageValue]] | None = None,
) -> Images:
    """Images, of those with the same id the last."""
    last = {identity: row for row, identity in enumerate(plain(ids))}
    if len(last) < len(names):
        twice = np.ones(len(names), np.bool_)
        twice[list(last.values())] = False
        tell(where, twice, "images have an id that comes again; the last one counts")
    kept = list(last.values())
    of_kept = {key: [column[row] for row in kept] for key, column in (columns or {}).items()}
    return Images(list(last), sizes[kept], [names[row] for row in kept], of_kept)


def read_objects(rows: list[Record], where: str) -> Objects:
    """Annotations of parsed JSON. Nothing needs their ids: where one is missing or no number, there are none."""
    numbered = all(type(row.get("id")) is int and -(2**63) <= row["id"] < 2**63 for row in rows)
    return Objects(
        _image_ids(rows, "image_id", where),
        integers(rows, "category_id", where),
        boxes(rows, "bbox", where),
        numbers(rows, "area", where, default=np.nan),
        _flag_numbers(rows, "iscrowd", where),
        _flag_numbers(rows, "ignore", where),
        integers(rows, "id", where) if numbered else None,
    )


def read_classes(rows: list[Record], where: str) -> Classes:
    """Ids, sorted, and names of categories; one without a name is called by its id."""
    names = strings(rows, "name", where, default="")
    ids = integers(rows, "id", where).tolist()
    named = {identity: name or str(identity) for identity, name in zip(ids, names, strict=True)}
    if len(named) < len(rows):
        twice = np.array([identity in ids[:row] for row, identity in enumerate(ids)])
        tell(where, twice, "categories have an id that came before; the last name counts")
    return tuple(sorted(named)), tuple(named[identity] for identity in sorted(named))


def read_found(rows: list[Record], where: str) -> Found:
    """Results of parsed JSON."""
    if rows and "bbox" not in rows[0] and {"segmentation", "keypoints"} & set(rows[0]):
        raise InputError(f"{where}: results of masks or keypoints, without bbox; boxes are compared here")
    if rows and "bbox" in rows[0] and "score" not in rows[0] and "area" in rows[0]:
        raise InputError(
            f"{where}[0]: has area but no score, so these look like annotations; expected results"
        )
    return Found(
        _image_ids(rows, "image_id", where),
        integers(rows, "category_id", where),
        boxes(rows, "bbox", where),
        numbers(rows, "score", where),
    )


def _grouping(rows: list[Record]) -> dict[str, list[ImageValue]]:
    """The first image's further keys whose values put some images together and others apart.

    Values are whole numbers or text; an image without the key has None.
    """
    columns = {}
    for key in further_keys(rows[0] if rows else ()):
        column = [row.get(key) for row in rows]
        if set(map(type, column)) <= {int, str, type(None)} and 1 < len(set(column)) < len(column):
            columns[key] = column
    return columns


def _image_ids(rows: list[Record], key: str, where: str) -> NDArray[np.int64] | list[ImageId]:
    """Whole numbers as an array; strings, where all are, as a list."""
    if rows and isinstance(rows[0].get(key), str):
        names: list[ImageId] = [*strings(rows, key, where)]
        return names
    return integers(rows, key, where)


def _flag_numbers(rows: list[Record], key: str, where: str) -> NDArray[np.float64]:
    """Flags are 0 and 1, or true and false; NaN where missing."""
    flags = [{key: int(row[key]) if row.get(key) in (True, False) else row.get(key)} for row in rows]
    return numbers(flags, key, where, default=np.nan)
