"""Ground truth and detections as tables of columns, the form in which evaluation reads them.

Boxes are stored as xywh, the layout of COCO files: pycocotools computes with w and h as they are in the file, and
``(x + w) - x`` is not always ``w`` in floating point, so that a table of corners could not reproduce its numbers to the
last bit. `Table.boxes` are the corners.

A table validates itself once, at construction, and must not be modified afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.boxes import Layout
from metrics.errors import InputError
from metrics.plurals import plural
from metrics.tables.builders import AnnotationBuilder, DetectionBuilder, check_lists, number_of_classes
from metrics.tables.catalog import Catalog, ImageId
from metrics.tables.columns import check_count, field_name, flags, floats, integers, set_field

if TYPE_CHECKING:
    from typing import Self

    import pandas


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table:
    """Base of both kinds of table: rows of (image, label, box), in the order in which they were given."""

    kind: ClassVar[Literal["annotations", "detections"]]

    catalog: Catalog
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    xywh: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(np.atleast_1d(self.image))
        for name, limit, of in (
            ("image", len(self.catalog.image_ids), "images"),
            ("label", len(self.catalog.classes), "classes"),
        ):
            column = integers(self, name, getattr(self, name), np.int32, (count,))
            if count and (column.min() < 0 or column.max() >= limit):
                row = int(np.flatnonzero((column < 0) | (column >= limit))[0])
                raise InputError(
                    f"{field_name(self, name)}: row {row} is {column[row]}, but the catalog has {limit} {of}: "
                    f"expected an index in [0, {limit})"
                )
            set_field(self, name, column)
        set_field(self, "xywh", floats(self, "xywh", self.xywh, (count, 4)))

    def __len__(self) -> int:
        return len(self.image)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({plural(len(self), 'box')}, {self.catalog!r})"

    def _repr_html_(self) -> str:
        """The first rows, for notebooks."""
        rows = self.to_frame().head(5).to_html(index=False, border=0)
        return f"<p>{escape(repr(self))}</p>{rows}"

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) xyxy in pixels; a new array."""
        corners = self.xywh.copy()
        corners[:, 2:] += corners[:, :2]
        return corners

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of catalog and rows with all columns, in their order; the same on every machine."""
        digest = hashlib.sha256(self.catalog.fingerprint.encode())
        for name, column in self.columns().items():
            digest.update(name.encode())
            if column.dtype.kind == "f":
                column = column + 0.0  # -0.0 becomes 0.0
            digest.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).data)
        for name, column in sorted(self._further_columns().items()):
            digest.update(f"object:{name}".encode())
            digest.update((column + 0.0).astype("<f8").data)
        return digest.hexdigest()

    def _further_columns(self) -> Mapping[str, NDArray[np.float64]]:
        """Columns that only some tables have."""
        return {}

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name."""
        return {name: getattr(self, name) for name in self._column_names()}

    @classmethod
    def _column_names(cls) -> list[str]:
        return [field.name for field in fields(cls)[1:] if field.name != "object_columns"]

    def select(self, images: ArrayLike) -> Self:
        """The table of some images: their rows in the same order, and a catalog of those images and all classes.

        Args:
            images: (I,) mask over `catalog.image_ids`, or indices into it.
        """
        kept = self.catalog.image_indices(images)
        new_index = np.full(len(self.catalog.image_ids), -1, np.int32)
        new_index[kept] = np.arange(len(kept), dtype=np.int32)
        table = self.take(new_index[self.image] >= 0)
        return replace(table, catalog=self.catalog.select(kept), image=new_index[table.image])

    def take(self, rows: ArrayLike) -> Self:
        """The table of some rows, given by a (N,) mask or by indices in any order, on the same catalog."""
        chosen = np.asarray(rows)
        chosen = chosen if chosen.size else chosen.astype(np.intp)
        columns: dict[str, Any] = {name: column[chosen] for name, column in self.columns().items()}
        further = {name: column[chosen] for name, column in self._further_columns().items()}
        optional: dict[str, Any] = {"object_columns": further} if further else {}
        return type(self)(self.catalog, **columns, **optional)

    def save(self, path: str | Path) -> None:
        """Write the table as Parquet, with its catalog in the file's metadata; see `metrics.tables.parquet`."""
        from metrics.tables.parquet import write_columns

        write_columns(Path(path), self.kind, self.catalog, self.columns(), self._further_columns())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            InputError: not such a file, the other kind of table, or a newer version.
        """
        from metrics.tables.parquet import read_columns

        catalog, columns, further = read_columns(Path(path), cls.kind, cls._column_names())
        optional: dict[str, Any] = {"object_columns": further} if further else {}
        return cls(catalog, **columns, **optional)

    def to_frame(self) -> pandas.DataFrame:
        """One row per box: image_id, class_id, class, x, y, w, h and the table's further columns."""
        from metrics.tables.frame import frame_of

        return frame_of(self.catalog, self.columns())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnnotationTable(Table):
    """Ground truth: every annotated object of a data set.

    Attributes:
        catalog: the images and classes, including those without objects.
        image: (N,) int32 index of the image in `catalog.image_ids`.
        label: (N,) int32 in [0, C).
        xywh: (N, 4) float64 pixels; finite.
        area: (N,) float64 square pixels, as annotated (in COCO the area of the mask), else w * h.
        crowd: (N,) bool: a region of many objects, which any number of detections may match.
        ignored: (N,) bool: counts neither as missed nor as found (VOC's ``difficult``).
        object_id: (N,) int64 ids as in the user's files.
        object_columns: (N,) float64 each, by name: what only some data sets tell of their objects, and only their protocols
            read, such as KITTI's ``truncation`` and ``occlusion``. NaN where unknown; not part of `to_frame`.
    """

    kind: ClassVar[Literal["annotations", "detections"]] = "annotations"

    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    object_id: NDArray[np.int64]
    object_columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Table.__post_init__(self)
        count = (len(self.image),)
        set_field(self, "area", floats(self, "area", self.area, count))
        for name in ("crowd", "ignored"):
            set_field(self, name, flags(self, name, getattr(self, name), count))
        set_field(self, "object_id", integers(self, "object_id", self.object_id, np.int64, count))
        further = {name: np.asarray(column, np.float64) for name, column in self.object_columns.items()}
        for name, column in further.items():
            check_count(self, f"object_columns[{name!r}]", len(column), count[0], "object")
        set_field(self, "object_columns", further)

    def _further_columns(self) -> Mapping[str, NDArray[np.float64]]:
        return self.object_columns

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        image: ArrayLike,
        label: ArrayLike,
        xywh: ArrayLike,
        *,
        area: ArrayLike | None = None,
        crowd: ArrayLike | None = None,
        ignored: ArrayLike | None = None,
        object_id: ArrayLike | None = None,
    ) -> Self:
        """Make a table with defaults: area is w * h, no object is crowd or ignored, ids are 1 .. N."""
        boxes = np.asarray(xywh, np.float64).reshape(-1, 4)
        count = len(boxes)
        return cls(
            catalog,
            np.asarray(image),
            np.asarray(label),
            boxes,
            boxes[:, 2] * boxes[:, 3] if area is None else np.asarray(area),
            np.zeros(count, np.bool_) if crowd is None else np.asarray(crowd),
            np.zeros(count, np.bool_) if ignored is None else np.asarray(ignored),
            np.arange(1, count + 1) if object_id is None else np.asarray(object_id),
        )

    @classmethod
    def builder(cls, catalog: Catalog) -> AnnotationBuilder[Self]:
        """A builder of such a table, image by image."""
        return AnnotationBuilder(catalog, cls)

    @classmethod
    def from_images(
        cls,
        boxes: Sequence[Any],
        labels: Sequence[Any],
        *,
        catalog: Catalog | None = None,
        classes: Sequence[str] | None = None,
        layout: Layout = "xyxy",
        area: Sequence[Any] | None = None,
        crowd: Sequence[Any] | None = None,
        ignored: Sequence[Any] | None = None,
    ) -> Self:
        """Make a table of per-image arrays or tensors, as a data loader returns them.

        Args:
            boxes: for each image (G, 4) in `layout`, pixels; arrays, tensors on any device, or lists.
            labels: for each image (G,) class indices.
            catalog: images, in the order of the lists, and classes. By default images 0, 1, 2, ...
            classes: names, where there is no catalog; by default the labels.
            layout: of `boxes`.
            area: for each image (G,) square pixels; by default w * h.
            crowd: for each image (G,) flags; by default none.
            ignored: for each image (G,) flags; by default none.

        Raises:
            InputError: lists of different lengths, or columns that do not fit together.
        """
        if catalog is None:
            names = [str(label) for label in range(number_of_classes(labels))] if classes is None else classes
            catalog = Catalog.of(range(len(boxes)), names)
        optional = {"area": area, "crowd": crowd, "ignored": ignored}
        check_lists(catalog, {"boxes": boxes, "labels": labels, **optional})
        builder = cls.builder(catalog)
        ids: Sequence[ImageId] = catalog.image_ids
        for index, image_id in enumerate(ids):
            given = {name: None if column is None else column[index] for name, column in optional.items()}
            builder.add(image_id, boxes[index], labels[index], layout=layout, **given)
        return builder.build()

    @classmethod
    def from_frame(cls, frame: pandas.DataFrame, catalog: Catalog | None = None) -> Self:
        """Make a table of a DataFrame with one row per object; the inverse of `to_frame`.

        Args:
            frame: columns image_id; class or class_id; x, y and w, h (or x1, y1, x2, y2); optionally area, crowd,
                ignored, object_id, file_name.
            catalog: the images and classes; by default those that occur in `frame`. The file name of an image is then
                its ``file_name``, or its id where ids are strings.

        Raises:
            InputError: a column is missing or invalid, or the catalog lacks an image or class.
        """
        from metrics.tables.frame import catalog_of, check_frame, columns_of

        check_frame(frame, cls.__name__)
        catalog = catalog_of(frame) if catalog is None else catalog
        optional = {
            name: frame[name].to_numpy()
            for name in ("area", "crowd", "ignored", "object_id")
            if name in frame
        }
        return cls.of(catalog, **columns_of(frame, catalog), **optional)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DetectionTable(Table):
    """Every detection on a data set, in the order in which it was given (which breaks ties).

    Attributes:
        catalog: that of the ground truth.
        image: (N,) int32 index of the image in `catalog.image_ids`.
        label: (N,) int32 in [0, C).
        xywh: (N, 4) float64 pixels of the original image; finite.
        score: (N,) float64, finite; higher is more confident.
    """

    kind: ClassVar[Literal["annotations", "detections"]] = "detections"

    score: NDArray[np.float64]

    def __post_init__(self) -> None:
        Table.__post_init__(self)
        set_field(self, "score", floats(self, "score", self.score, (len(self.image),)))

    @classmethod
    def builder(cls, catalog: Catalog) -> DetectionBuilder[Self]:
        """A builder of such a table, image by image."""
        return DetectionBuilder(catalog, cls)

    @classmethod
    def from_images(
        cls,
        catalog: Catalog,
        boxes: Sequence[Any],
        scores: Sequence[Any],
        labels: Sequence[Any],
        layout: Layout = "xyxy",
    ) -> Self:
        """Make a table of per-image arrays or tensors, as a detector returns them.

        Args:
            catalog: that of the ground truth; its images are in the order of the lists.
            boxes: for each image (N, 4) in `layout`, pixels; arrays, tensors on any device, or lists.
            scores: for each image (N,).
            labels: for each image (N,) class indices.
            layout: of `boxes`.

        Raises:
            InputError: lists of different lengths, or columns that do not fit together.
        """
        check_lists(catalog, {"boxes": boxes, "scores": scores, "labels": labels})
        builder = cls.builder(catalog)
        ids: Sequence[ImageId] = catalog.image_ids
        for image_id, *columns in zip(ids, boxes, scores, labels, strict=True):
            builder.add(image_id, *columns, layout=layout)
        return builder.build()

    @classmethod
    def from_frame(cls, frame: pandas.DataFrame, catalog: Catalog) -> Self:
        """Make a table of a DataFrame with one row per detection; the inverse of `to_frame`.

        Args:
            frame: columns image_id; class or class_id; x, y and w, h (or x1, y1, x2, y2); score.
            catalog: that of the ground truth.

        Raises:
            InputError: a column is missing or invalid, or the catalog lacks an image or class.
        """
        from metrics.tables.frame import check_frame, columns_of

        check_frame(frame, cls.__name__, "score")
        score = np.asarray(frame["score"].to_numpy(), np.float64)
        return cls(catalog, **columns_of(frame, catalog), score=score)
