"""Tables built image by image, from arrays or from tensors of any library and device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import Layout, convert
from metrics.errors import InputError
from metrics.tables.table import AnnotationTable, Catalog, DetectionTable, ImageId


class AnnotationBuilder:
    """Collects annotations image by image, in any order of images.

    Example:
        >>> builder = AnnotationTable.builder(catalog)
        >>> builder.add("street.jpg", boxes=[[10, 20, 50, 80]], labels=[0])
        >>> truth = builder.build()
    """

    def __init__(self, catalog: Catalog) -> None:
        self._rows = _Rows(catalog)

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
            object_ids: (G,); by default the number of the row in the table, from 1.
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

    def build(self) -> AnnotationTable:
        """The table of all that was added so far."""
        return AnnotationTable(
            self._rows.catalog, **self._rows.columns("area", "crowd", "ignored", "object_id")
        )


class DetectionBuilder:
    """Collects detections image by image, in any order of images; within an image their order breaks ties.

    Example:
        >>> builder = DetectionTable.builder(truth.catalog)
        >>> for image_id, image in images:
        ...     found = detector.predict(image[None])[0]
        ...     builder.add(image_id, found.boxes, found.scores, found.labels)
        >>> detections = builder.build()
    """

    def __init__(self, catalog: Catalog) -> None:
        self._rows = _Rows(catalog)

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

    def build(self) -> DetectionTable:
        """The table of all that was added so far."""
        return DetectionTable(self._rows.catalog, **self._rows.columns("score"))


def annotations_from_images(
    boxes: Sequence[Any],
    labels: Sequence[Any],
    catalog: Catalog | None,
    classes: Sequence[str] | None,
    layout: Layout,
    **flags: Sequence[Any] | None,
) -> AnnotationTable:
    """See `AnnotationTable.from_images`."""
    if catalog is None:
        if classes is None:
            highest = max((int(_host(image).max(initial=-1)) for image in labels), default=-1)
            classes = [str(label) for label in range(highest + 1)]
        catalog = Catalog.of(range(len(boxes)), classes)
    _check_lists(catalog, boxes=boxes, labels=labels, **flags)
    builder = AnnotationBuilder(catalog)
    ids: Sequence[ImageId] = catalog.image_ids
    for i, image_id in enumerate(ids):
        given = {name: None if column is None else column[i] for name, column in flags.items()}
        builder.add(image_id, boxes[i], labels[i], layout=layout, **given)
    return builder.build()


def detections_from_images(
    catalog: Catalog, boxes: Sequence[Any], scores: Sequence[Any], labels: Sequence[Any], layout: Layout
) -> DetectionTable:
    """See `DetectionTable.from_images`."""
    _check_lists(catalog, boxes=boxes, scores=scores, labels=labels)
    builder = DetectionBuilder(catalog)
    ids: Sequence[ImageId] = catalog.image_ids
    for image_id, *columns in zip(ids, boxes, scores, labels, strict=True):
        builder.add(image_id, *columns, layout=layout)
    return builder.build()


_Columns = dict[str, NDArray[Any]]


class _Rows:
    """What both builders collect: the columns of each image, taken in together or not at all."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        ids: Sequence[ImageId] = catalog.image_ids
        self._index = {image_id: i for i, image_id in enumerate(ids)}
        self._parts: list[_Columns] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def read(self, image_id: ImageId, boxes: Any, labels: Any, layout: Layout) -> tuple[_Columns, str]:
        """One image's image, label and xywh, and what errors call it."""
        where = f"image {image_id!r}"
        if image_id not in self._index:
            raise InputError(f"{where} is not in the catalog, which has {len(self._index)} images")
        values = np.asarray(_host(boxes), np.float64)
        if values.size == 0:
            values = values.reshape(0, 4)
        if values.ndim != 2 or values.shape[1] != 4:
            raise InputError(f"{where}: boxes: expected shape (N, 4), got {values.shape}")
        part: _Columns = {
            "image": np.full(len(values), self._index[image_id], np.int32),
            "label": _integers(labels, len(values), f"{where}: labels"),
            "xywh": convert(values, layout, "xywh"),
        }
        return part, where

    def append(self, part: _Columns) -> None:
        self._parts.append(part)
        self._count += len(part["xywh"])

    def columns(self, *further: str) -> _Columns:
        """All columns, one image after another."""
        if not self._parts:
            return {"xywh": np.zeros((0, 4)), **{name: np.zeros(0) for name in ("image", "label", *further)}}
        return {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}


def _check_lists(catalog: Catalog, **lists: Sequence[Any] | None) -> None:
    for name, given in lists.items():
        if given is not None and len(given) != len(catalog.image_ids):
            raise InputError(
                f"{name}: expected one entry per image, {len(catalog.image_ids)}, got {len(given)}"
            )


def _host(values: Any) -> NDArray[Any]:
    """An array in this process's memory of an array, tensor or list: without its gradient, off its device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if (
            str(values.dtype) == "torch.bfloat16"
        ):  # which NumPy does not know; single precision holds it exactly
            values = values.float()
    elif hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
        return np.from_dlpack(values)
    return np.asarray(values)


def _column(values: Any, count: int, where: str) -> NDArray[np.float64]:
    column = np.asarray(_host(values), np.float64)
    if column.shape != (count,):
        raise InputError(f"{where}: expected shape ({count},), one per box, got {column.shape}")
    return column


def _integers(values: Any, count: int, where: str) -> NDArray[np.int64]:
    given = _host(values)
    if given.size and given.dtype.kind not in "iu":
        raise InputError(f"{where}: expected integers, got {given.dtype}")
    if given.shape != (count,):
        raise InputError(f"{where}: expected shape ({count},), one per box, got {given.shape}")
    return given.astype(np.int64)
