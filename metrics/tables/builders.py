"""Builders that collect the rows of a table image by image, from arrays or from tensors of any library and device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import Layout, convert
from metrics.errors import InputError
from metrics.plurals import plural
from metrics.tables.catalog import Catalog, ImageId

T = TypeVar("T")
Columns = dict[str, NDArray[Any]]


class AnnotationBuilder(Generic[T]):
    """Collect annotations image by image, in any order of images; see `AnnotationTable.builder`.

    Example:
        >>> builder = AnnotationTable.builder(catalog)
        >>> builder.add("street.jpg", boxes=[[10, 20, 50, 80]], labels=[0])
        >>> truth = builder.build()
    """

    def __init__(self, catalog: Catalog, table: Callable[..., T]) -> None:
        self._rows = _ImageColumns(catalog)
        self._table = table

    def add(
        self,
        image_id: ImageId,
        boxes: Any,
        labels: Any,
        *,
        area: Any = None,
        crowd: Any = None,
        ignored: Any = None,
        object_ids: Any = None,
        layout: Layout = "xyxy",
    ) -> None:
        """Append the objects of one image.

        Args:
            image_id: as in the catalog.
            boxes: (G, 4) in `layout`, pixels; array, tensor or list.
            labels: (G,) class indices.
            area: (G,) square pixels; by default w * h.
            crowd: (G,) flags; by default none.
            ignored: (G,) flags; by default none.
            object_ids: (G,); by default the row number in the table, from 1.
            layout: of `boxes`.

        Raises:
            InputError: an image that is not in the catalog, or columns of different lengths.
        """
        part, where = self._rows.read(image_id, boxes, labels, layout)
        xywh = part["xywh"]
        count = len(xywh)
        part["area"] = xywh[:, 2] * xywh[:, 3] if area is None else _column(area, count, f"{where}: area")
        for name, given in (("crowd", crowd), ("ignored", ignored)):
            part[name] = np.zeros(count) if given is None else _column(given, count, f"{where}: {name}")
        if object_ids is None:
            part["object_id"] = np.arange(len(self._rows) + 1, len(self._rows) + count + 1)
        else:
            part["object_id"] = _integers(object_ids, count, f"{where}: object_ids")
        self._rows.append(part)

    def build(self) -> T:
        """The table of all rows so far."""
        columns = self._rows.columns("area", "crowd", "ignored", "object_id")
        return self._table(self._rows.catalog, **columns)


class DetectionBuilder(Generic[T]):
    """Collect detections image by image, in any order of images; within an image their order breaks ties.

    Example:
        >>> builder = DetectionTable.builder(truth.catalog)
        >>> for image_id, image in images:
        ...     output = detector.predict(image[None])[0]
        ...     builder.add(image_id, output.boxes, output.scores, output.labels)
        >>> detections = builder.build()
    """

    def __init__(self, catalog: Catalog, table: Callable[..., T]) -> None:
        self._rows = _ImageColumns(catalog)
        self._table = table

    def add(
        self, image_id: ImageId, boxes: Any, scores: Any, labels: Any, *, layout: Layout = "xyxy"
    ) -> None:
        """Append the detections of one image.

        Args:
            image_id: as in the catalog.
            boxes: (N, 4) in `layout`, pixels of the original image; array, tensor or list.
            scores: (N,).
            labels: (N,) class indices.
            layout: of `boxes`.

        Raises:
            InputError: an image that is not in the catalog, or columns of different lengths.
        """
        part, where = self._rows.read(image_id, boxes, labels, layout)
        part["score"] = _column(scores, len(part["xywh"]), f"{where}: scores")
        self._rows.append(part)

    def build(self) -> T:
        """The table of all rows so far."""
        return self._table(self._rows.catalog, **self._rows.columns("score"))


def number_of_classes(labels: Iterable[Any]) -> int:
    """One more than the highest label in a list of arrays or tensors."""
    return 1 + max((int(_to_numpy(column).max(initial=-1)) for column in labels), default=-1)


def check_lists(catalog: Catalog, lists: Mapping[str, Sequence[Any] | None]) -> None:
    """Refuse lists that do not have one entry per image of the catalog; None is no list."""
    for name, given in lists.items():
        if given is not None and len(given) != len(catalog.image_ids):
            raise InputError(
                f"{name}: expected one entry per image, {len(catalog.image_ids)}, got {len(given)}"
            )


class _ImageColumns:
    """The columns of each image; an image is added completely or not at all."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        ids: Sequence[ImageId] = catalog.image_ids
        self._index = {image_id: i for i, image_id in enumerate(ids)}
        self._parts: list[Columns] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def read(self, image_id: ImageId, boxes: Any, labels: Any, layout: Layout) -> tuple[Columns, str]:
        """Image, label and xywh of one image's rows, and the image as errors call it."""
        where = f"image {image_id!r}"
        if image_id not in self._index:
            raise InputError(f"{where} is not in the catalog, which has {plural(len(self._index), 'image')}")
        values = np.asarray(_to_numpy(boxes), np.float64)
        if values.size == 0:
            values = values.reshape(0, 4)
        if values.ndim != 2 or values.shape[1] != 4:
            raise InputError(f"{where}: boxes: expected shape (N, 4), got {values.shape}")
        part: Columns = {
            "image": np.full(len(values), self._index[image_id], np.int32),
            "label": _integers(labels, len(values), f"{where}: labels"),
            "xywh": convert(values, layout, "xywh"),
        }
        return part, where

    def append(self, part: Columns) -> None:
        self._parts.append(part)
        self._count += len(part["xywh"])

    def columns(self, *further: str) -> Columns:
        """All columns, one image after another."""
        if not self._parts:
            return {"xywh": np.zeros((0, 4)), **{name: np.zeros(0) for name in ("image", "label", *further)}}
        return {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}


def _to_numpy(values: Any) -> NDArray[Any]:
    """An array, tensor or list as a NumPy array: detached from its gradient, copied from its device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # unknown to NumPy; float32 represents it exactly
            values = values.float()
    elif hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
        return np.from_dlpack(values)
    return np.asarray(values)


def _column(values: Any, count: int, where: str) -> NDArray[np.float64]:
    column = np.asarray(_to_numpy(values), np.float64)
    if column.shape != (count,):
        raise InputError(f"{where}: expected shape ({count},), one per box, got {column.shape}")
    return column


def _integers(values: Any, count: int, where: str) -> NDArray[np.int64]:
    column = _to_numpy(values)
    if column.size and column.dtype.kind not in "iu":
        raise InputError(f"{where}: expected integers, got {column.dtype}")
    if column.shape != (count,):
        raise InputError(f"{where}: expected shape ({count},), one per box, got {column.shape}")
    return column.astype(np.int64)
