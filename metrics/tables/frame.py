"""Conversion of columns to and from pandas DataFrames with one row per box, and ids and names as in the user's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.plurals import plural
from metrics.tables.catalog import Catalog, ImageId

if TYPE_CHECKING:
    import pandas

_XYWH = ["x", "y", "w", "h"]
_XYXY = ["x1", "y1", "x2", "y2"]


def frame_of(catalog: Catalog, columns: Mapping[str, NDArray[Any]]) -> pandas.DataFrame:
    """The columns of a table as a DataFrame: image_id, class_id, class, x, y, w, h, then the further columns."""
    import pandas

    image, label, xywh = columns["image"], columns["label"], columns["xywh"]
    ids = np.array(catalog.image_ids)
    values: dict[str, Any] = {
        "image_id": ids[image] if len(image) else ids[:0],
        "class_id": np.array(catalog.class_ids, np.int64)[label],
        "class": np.array(catalog.classes, object)[label],
    }
    values |= {side: xywh[:, i] for i, side in enumerate(_XYWH)}
    values |= {name: column for name, column in columns.items() if name not in ("image", "label", "xywh")}
    return pandas.DataFrame(values)


def columns_of(frame: pandas.DataFrame, catalog: Catalog) -> dict[str, NDArray[Any]]:
    """The columns image, label and xywh of a DataFrame that `check_frame` accepts.

    Raises:
        InputError: an image or class that the catalog does not have.
    """
    if "class_id" in frame:
        label = _indices(frame["class_id"], catalog.class_ids, "class_id")
    else:
        label = _indices(frame["class"], catalog.classes, "class")
    corners = not set(_XYWH) <= set(frame)
    boxes = frame[_XYXY if corners else _XYWH].to_numpy(np.float64)
    return {
        "image": _indices(frame["image_id"], catalog.image_ids, "image_id"),
        "label": label,
        "xywh": convert(boxes, "xyxy" if corners else "xywh", "xywh"),
    }


def check_frame(frame: pandas.DataFrame, kind: str, *further: str) -> None:
    """Refuse a DataFrame that lacks columns: image_id, class or class_id, a box, or one of `further`."""
    missing = [name for name in ("image_id", *further) if name not in frame]
    if "class" not in frame and "class_id" not in frame:
        missing.append("class (or class_id)")
    if not set(_XYWH) <= set(frame) and not set(_XYXY) <= set(frame):
        missing.append("x, y, w, h (or x1, y1, x2, y2)")
    if missing:
        raise InputError(
            f"{kind}.from_frame: no column {', '.join(missing)}; it has {', '.join(map(str, frame))}"
        )


def catalog_of(frame: pandas.DataFrame) -> Catalog:
    """The images and classes that occur in a DataFrame.

    File names are those of a column ``file_name``; without it, image ids that are strings.

    Raises:
        InputError: an image with two file names, or a class id with two names.
    """
    ids = sorted(set(frame["image_id"].tolist()))
    names = _file_names(frame, ids)
    if "class_id" not in frame:
        return Catalog.of(ids, sorted(set(frame["class"].tolist())), file_names=names)
    named = frame["class"] if "class" in frame else frame["class_id"].astype(str)
    classes = _one_each(frame["class_id"], named, "class_id {} is called {!r} and {!r}")
    class_ids = sorted(classes)
    return Catalog.of(ids, [classes[class_id] for class_id in class_ids], None, names, class_ids)


def _file_names(frame: pandas.DataFrame, ids: Sequence[ImageId]) -> list[str] | None:
    if "file_name" in frame:
        names = _one_each(frame["image_id"], frame["file_name"], "image {!r} has the files {!r} and {!r}")
        return [names[image_id] for image_id in ids]
    strings = [image_id for image_id in ids if isinstance(image_id, str)]
    return strings if strings else None


def _one_each(keys: pandas.Series[Any], values: pandas.Series[Any], problem: str) -> dict[Any, Any]:
    """The value of each key; an error where a key has two."""
    known: dict[Any, Any] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        if known.setdefault(key, value) != value:
            raise InputError(problem.format(key, known[key], value))
    return known


def _indices(column: pandas.Series[Any], known: Iterable[Any], name: str) -> NDArray[np.int32]:
    """For each value its index among `known`."""
    import pandas

    indices: NDArray[Any] = pandas.Index(list(known)).get_indexer(pandas.Index(column))
    unknown = indices < 0
    if unknown.any():
        row = int(np.argmax(unknown))
        count = int(np.count_nonzero(unknown))
        raise InputError(
            f"{name}: row {row} has {column.iloc[row]!r}, which the catalog lacks ({plural(count, 'row')})"
        )
    return indices.astype(np.int32)
