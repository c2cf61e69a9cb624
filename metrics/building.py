"""Tables built image by image, from arrays or from tensors of any library and device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import Layout, convert
from metrics.errors import InputError
from metrics.tables import AnnotationTable, Catalog, DetectionTable, ImageId


class AnnotationBuilder:
    """Collects annotations image by image, in any order of images.

    Example:
        >>> builder = AnnotationTable.builder(catalog)
        >>> builder.add("street.jpg", boxes=[[10, 20, 50, 80]], labels=[0])
        >>> truth = builder.build()
    """

    def __init__(self, catalog: Catalog) -> None:
        self._rows = _Rows(catalog)
        self._areas: list[NDArray[np.float64]] = []
        self._crowds: list[NDArray[np.bool_]] = []
        self._ignored: list[NDArray[np.bool_]] = []
        self._ids: list[NDArray[np.int64]] = []

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
        before = len(self._rows)
        xywh = self._rows.add(image_id, boxes, labels, layout)
        count = len(xywh)
        where = f"image {image_id!r}"
        self._areas.append(
            xywh[:, 2] * xywh[:, 3] if area is None else _column(area, count, f"{where}: area")
        )
        for kept, given, name in ((self._crowds, crowd, "crowd"), (self._ignored, ignored, "ignored")):
            flags = np.zeros(count) if given is None else _column(given, count, f"{where}: {name}")
            kept.append(flags.astype(np.bool_))
        if object_ids is None:
            ids = np.arange(before + 1, before + count + 1, dtype=np.int64)
        else:
            ids = _integers(object_ids, count, f"{where}: object_ids")
        self._ids.append(ids)

    def build(self) -> AnnotationTable:
        """The table of all that was added so far."""
        return AnnotationTable(
            *self._rows.columns(),
            area=_joined(self._areas, np.float64),
            crowd=_joined(self._crowds, np.bool_),
            ignored=_joined(self._ignored, np.bool_),
            object_id=_joined(self._ids, np.int64),
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
        self._scores: list[NDArray[np.float64]] = []

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
        xywh = self._rows.add(image_id, boxes, labels, layout)
        self._scores.append(_column(scores, len(xywh), f"image {image_id!r}: scores"))

    def build(self) -> DetectionTable:
        """The table of all that was added so far."""
        return DetectionTable(*self._rows.columns(), score=_joined(self._scores, np.float64))


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


class _Rows:
    """The columns that both builders fill."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        ids: Sequence[ImageId] = catalog.image_ids
        self._index = {image_id: i for i, image_id in enumerate(ids)}
        self._images: list[NDArray[np.int32]] = []
        self._labels: list[NDArray[np.int64]] = []
        self._boxes: list[NDArray[np.float64]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, image_id: ImageId, boxes: Any, labels: Any, layout: Layout) -> NDArray[np.float64]:
        if image_id not in self._index:
            raise InputError(f"image {image_id!r} is not in the catalog, which has {len(self._index)} images")
        values = np.asarray(_host(boxes), np.float64)
        if values.size == 0:
            values = values.reshape(0, 4)
        if values.ndim != 2 or values.shape[1] != 4:
            raise InputError(f"image {image_id!r}: boxes: expected shape (N, 4), got {values.shape}")
        xywh = convert(values, layout, "xywh")
        self._labels.append(_integers(labels, len(xywh), f"image {image_id!r}: labels"))
        self._images.append(np.full(len(xywh), self._index[image_id], np.int32))
        self._boxes.append(xywh)
        self._count += len(xywh)
        return xywh

    def columns(self) -> tuple[Catalog, NDArray[Any], NDArray[Any], NDArray[Any]]:
        boxes = np.concatenate(self._boxes) if self._boxes else np.zeros((0, 4))
        return self.catalog, _joined(self._images, np.int32), _joined(self._labels, np.int64), boxes


def _joined(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


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
