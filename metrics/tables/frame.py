"""Tables as pandas DataFrames and back: one row per box, with ids and names as the user knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.tables.table import AnnotationTable, Catalog, DetectionTable, Table

if TYPE_CHECKING:
    import pandas

_XYWH = ["x", "y", "w", "h"]
_XYXY = ["x1", "y1", "x2", "y2"]


def to_frame(table: Table) -> pandas.DataFrame:
    """See `metrics.tables`: columns image_id, class_id, class, x, y, w, h, then those of the kind of table."""
    import pandas

    catalog = table.catalog
    columns: dict[str, Any] = {
        "image_id": np.array(catalog.image_ids)[table.image]
        if len(table)
        else np.array(catalog.image_ids)[:0],
        "class_id": np.array(catalog.class_ids, np.int64)[table.label],
        "class": np.array(catalog.classes, object)[table.label],
    }
    columns |= {side: table.xywh[:, i] for i, side in enumerate(_XYWH)}
    further = ("area", "crowd", "ignored", "object_id", "score")
    columns |= {name: getattr(table, name) for name in further if hasattr(table, name)}
    return pandas.DataFrame(columns)


def annotations_from_frame(frame: pandas.DataFrame, catalog: Catalog | None = None) -> AnnotationTable:
    """See `AnnotationTable.from_frame`."""
    _check_columns(frame, "AnnotationTable")
    if catalog is None:
        catalog = _catalog_of(frame)
    optional = {
        name: frame[name].to_numpy() for name in ("area", "crowd", "ignored", "object_id") if name in frame
    }
    image, label = _images(frame, catalog), _labels(frame, catalog)
    return AnnotationTable.of(catalog, image, label, _xywh(frame), **optional)


def detections_from_frame(frame: pandas.DataFrame, catalog: Catalog) -> DetectionTable:
    """See `DetectionTable.from_frame`."""
    _check_columns(frame, "DetectionTable", "score")
    score = np.asarray(frame["score"].to_numpy(), np.float64)
    return DetectionTable(catalog, _images(frame, catalog), _labels(frame, catalog), _xywh(frame), score)


def _check_columns(frame: pandas.DataFrame, kind: str, *further: str) -> None:
    missing = [name for name in ("image_id", *further) if name not in frame]
    if "class" not in frame and "class_id" not in frame:
        missing.append("class (or class_id)")
    if not set(_XYWH) <= set(frame) and not set(_XYXY) <= set(frame):
        missing.append("x, y, w, h (or x1, y1, x2, y2)")
    if missing:
        raise InputError(
            f"{kind}.from_frame: no column {', '.join(missing)}; it has {', '.join(map(str, frame))}"
        )


def _catalog_of(frame: pandas.DataFrame) -> Catalog:
    image_ids = sorted(set(frame["image_id"].tolist()))
    if "class_id" not in frame:
        return Catalog.of(image_ids, sorted(set(frame["class"].tolist())))
    named = frame["class"] if "class" in frame else frame["class_id"].astype(str)
    classes: dict[int, str] = {}
    for class_id, name in zip(frame["class_id"].tolist(), named.tolist(), strict=True):
        if classes.setdefault(class_id, name) != name:
            raise InputError(f"class_id {class_id} is called {classes[class_id]!r} and {name!r}")
    class_ids = sorted(classes)
    return Catalog.of(image_ids, [classes[class_id] for class_id in class_ids], class_ids=class_ids)


def _images(frame: pandas.DataFrame, catalog: Catalog) -> NDArray[np.int32]:
    return _places(frame["image_id"], catalog.image_ids, "image_id")


def _labels(frame: pandas.DataFrame, catalog: Catalog) -> NDArray[np.int32]:
    if "class_id" in frame:
        return _places(frame["class_id"], catalog.class_ids, "class_id")
    return _places(frame["class"], catalog.classes, "class")


def _places(column: pandas.Series[Any], known: Iterable[Any], name: str) -> NDArray[np.int32]:
    """For each value its index among `known`."""
    import pandas

    places: NDArray[Any] = pandas.Index(list(known)).get_indexer(pandas.Index(column))
    if (places < 0).any():
        row = int(np.argmin(places))
        unknown = np.count_nonzero(places < 0)
        raise InputError(
            f"{name}: row {row} has {column.iloc[row]!r}, which the catalog lacks ({unknown} rows)"
        )
    return places.astype(np.int32)


def _xywh(frame: pandas.DataFrame) -> NDArray[np.float64]:
    if set(_XYWH) <= set(frame):
        return frame[_XYWH].to_numpy(np.float64)
    return convert(frame[_XYXY].to_numpy(np.float64), "xyxy", "xywh")
