"""A data set's truth, or a detector's output on it, as columns: the form in which evaluation reads both.

Boxes are kept as xywh, the layout of COCO's files. The reference computes with w and h as they stand in the
file, and ``(x + w) - x`` is not always ``w`` in floating point: a table of corners could not give its numbers to
the last bit. `AnnotationTable.boxes` and `DetectionTable.boxes` are the corners.

A table checks itself once, when it is made, and is not to be written into afterwards: nobody downstream checks
again. Tables come from files (`metrics.formats`), from pandas (`from_frame`), from lists of arrays or tensors
(`from_images`), or are built image by image (`builder`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.tables.columns import check_count, check_ids, flags, floats, integers, name_of, put

if TYPE_CHECKING:
    from typing import Self

    import pandas

    from metrics.boxes import Layout
    from metrics.tables.builders import AnnotationBuilder, DetectionBuilder

ImageId = int | str

ImageValue = int | str | None
"""What a column of images says of one: a whole number, text, or nothing."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Catalog:
    """The images and classes that a table's rows point into.

    Two catalogs are equal when all their columns are. What `image_columns` says of images changes no measure, so equality
    and fingerprint pass over it.

    Attributes:
        image_ids: I ids, all integers or all strings, strictly increasing. Ties between scores are broken by
            image order, and the reference's is that of sorted ids.
        sizes: (I, 2) int32 (height, width) in pixels; 0 where it is not known.
        file_names: I names, relative to the data set's folder; empty where an image has none.
        class_ids: C ids as they stand in the user's files, strictly increasing.
        classes: C names, in the order of `class_ids`. A label is an index into both.
        image_columns: what else is known of images, by name I values: of which video, patient or scene each is.
    """

    image_ids: tuple[int, ...] | tuple[str, ...]
    sizes: NDArray[np.int32]
    file_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    classes: tuple[str, ...]
    image_columns: Mapping[str, tuple[ImageValue, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("image_ids", "file_names", "class_ids", "classes"):
            put(self, name, tuple(getattr(self, name)))
        put(self, "sizes", integers(self, "sizes", self.sizes, np.int32, (len(self.image_ids), 2)))
        check_ids(self, "image_ids", self.image_ids, (int, str))
        check_ids(self, "class_ids", self.class_ids, (int,))
        check_count(self, "file_names", len(self.file_names), len(self.image_ids), "image")
        check_count(self, "classes", len(self.classes), len(self.class_ids), "class id")
        put(self, "image_columns", {name: tuple(column) for name, column in self.image_columns.items()})
        for name, column in self.image_columns.items():
            check_count(self, f"image_columns[{name!r}]", len(column), len(self.image_ids), "image")
        if len(self.sizes) and self.sizes.min() < 0:
            row = int(np.argmin(self.sizes.min(1)))
            raise InputError(
                f"Catalog.sizes: image {self.image_ids[row]!r} has size {self.sizes[row].tolist()}"
            )

    @classmethod
    def of(
        cls,
        image_ids: Iterable[ImageId],
        classes: Sequence[str],
        sizes: ArrayLike | None = None,
        file_names: Sequence[str] | None = None,
        class_ids: Sequence[int] | None = None,
        image_columns: Mapping[str, Sequence[ImageValue]] | None = None,
    ) -> Self:
        """A catalog of what is known; the rest is filled in.

        Args:
            image_ids: all integers or all strings; increasing.
            classes: C names.
            sizes: (I, 2) (height, width) in pixels; by default unknown.
            file_names: by default none.
            class_ids: by default 0 .. C - 1.
            image_columns: by default none.
        """
        ids = tuple(image_ids)
        return cls(
            ids,  # type: ignore[arg-type]  # all of one type: checked at birth
            np.zeros((len(ids), 2), np.int32) if sizes is None else np.asarray(sizes),
            ("",) * len(ids) if file_names is None else tuple(file_names),
            tuple(range(len(classes))) if class_ids is None else tuple(class_ids),
            tuple(classes),
            {name: tuple(column) for name, column in (image_columns or {}).items()},
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Catalog):
            return NotImplemented
        return self is other or (
            self.image_ids == other.image_ids
            and self.class_ids == other.class_ids
            and self.classes == other.classes
            and self.file_names == other.file_names
            and np.array_equal(self.sizes, other.sizes)
        )

    def __hash__(self) -> int:
        return hash((self.image_ids, self.class_ids))

    def __repr__(self) -> str:
        return f"Catalog({len(self.image_ids)} images, {len(self.classes)} classes)"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what can be measured, in hexadecimal: the same on every machine."""
        names = [self.image_ids, self.file_names, self.class_ids, self.classes]
        digest = hashlib.sha256(json.dumps(names).encode())
        digest.update(self.sizes.astype("<i4").tobytes())
        return digest.hexdigest()

    def select(self, images: ArrayLike) -> Self:
        """Only these images: a (I,) mask, or indices in any order (the catalog's order is kept)."""
        kept = self.image_indices(images)
        return type(self)(
            tuple(self.image_ids[i] for i in kept),
            self.sizes[kept],
            tuple(self.file_names[i] for i in kept),
            self.class_ids,
            self.classes,
            {name: tuple(column[i] for i in kept) for name, column in self.image_columns.items()},
        )

    def image_indices(self, images: ArrayLike) -> NDArray[np.intp]:
        """Increasing indices of the images that a (I,) mask or indices name.

        Raises:
            InputError: a mask of another length, an index out of range, or the same image twice.
        """
        chosen = np.asarray(images)
        count = len(self.image_ids)
        if chosen.dtype == np.bool_:
            if chosen.shape != (count,):
                raise InputError(f"images: expected a mask of shape ({count},), got {chosen.shape}")
            return np.flatnonzero(chosen)
        if chosen.ndim != 1 or (chosen.size and not np.issubdtype(chosen.dtype, np.integer)):
            raise InputError("images: expected a mask or a list of indices of images")
        indices = np.sort(chosen.astype(np.intp))
        if len(indices) and (indices[0] < 0 or indices[-1] >= count):
            wrong = indices[0] if indices[0] < 0 else indices[-1]
            raise InputError(f"images: index {wrong} is not in [0, {count})")
        if (np.diff(indices) == 0).any():
            twice = indices[:-1][np.diff(indices) == 0][0]
            raise InputError(
                f"images: {self.image_ids[twice]!r} is selected twice; a table holds an image once"
            )
        return indices


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table:
    """What both kinds of table share: rows of (image, label, box), in the order in which they were given."""

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
                    f"{name_of(self)}.{name}: row {row} is {column[row]}, but the catalog has {limit} {of}: "
                    f"expected an index in [0, {limit})"
                )
            put(self, name, column)
        put(self, "xywh", floats(self, "xywh", self.xywh, (count, 4)))

    def __len__(self) -> int:
        return len(self.image)

    def __repr__(self) -> str:
        return f"{name_of(self)}({len(self)} boxes, {self.catalog!r})"

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) xyxy in pixels: the corners, a new array."""
        corners = self.xywh.copy()
        corners[:, 2:] += corners[:, :2]
        return corners

    @property
    def fingerprint(self) -> str:
        """SHA-256 of catalog and rows, in hexadecimal: the same on every machine. The order of rows counts."""
        digest = hashlib.sha256(self.catalog.fingerprint.encode())
        for each in fields(self)[1:]:
            column = getattr(self, each.name)
            digest.update(each.name.encode())
            if column.dtype.kind == "f":
                column = column + 0.0  # so that -0.0 is 0.0
            digest.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def select(self, images: ArrayLike) -> Self:
        """The same table of fewer images, and of their rows in the same order.

        Args:
            images: (I,) mask over `catalog.image_ids`, or indices into it.

        Returns:
            A table with a catalog of those images only (all classes remain).
        """
        kept = self.catalog.image_indices(images)
        place = np.full(len(self.catalog.image_ids), -1, np.int32)
        place[kept] = np.arange(len(kept), dtype=np.int32)
        rows = place[self.image] >= 0
        columns = {field.name: getattr(self, field.name)[rows] for field in fields(self)[1:]}
        columns["image"] = place[columns["image"]]
        return type(self)(self.catalog.select(kept), **columns)

    def save(self, path: str | Path) -> None:
        """Write the table as Parquet, with its catalog in the file's metadata; whole or not at all."""
        from metrics.tables.parquet import write_table

        write_table(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: not such a file, the other kind of table, or one of a newer version.
        """
        from metrics.tables.parquet import read_table

        return read_table(cls, Path(path))

    def to_frame(self) -> pandas.DataFrame:
        """One row per box, in words: image_id, class_id, class, x, y, w, h and the table's further columns."""
        from metrics.tables.frame import to_frame

        return to_frame(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnnotationTable(Table):
    """What is there: every annotated object of a data set.

    Attributes:
        catalog: the images and classes, also those without an object.
        image: (N,) int32 index of the image in `catalog.image_ids`.
        label: (N,) int32 in [0, C).
        xywh: (N, 4) float64 pixels; finite.
        area: (N,) float64 square pixels, as annotated (a mask's area in COCO), else w * h.
        crowd: (N,) bool: a region of many objects, in which any number of detections may lie.
        ignored: (N,) bool: neither asked for nor held against a detector (VOC's ``difficult``).
        object_id: (N,) int64 ids as they stand in the user's files.
    """

    kind: ClassVar[Literal["annotations", "detections"]] = "annotations"

    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    object_id: NDArray[np.int64]

    def __post_init__(self) -> None:
        Table.__post_init__(self)
        count = (len(self.image),)
        put(self, "area", floats(self, "area", self.area, count))
        for name in ("crowd", "ignored"):
            put(self, name, flags(self, name, getattr(self, name), count))
        put(self, "object_id", integers(self, "object_id", self.object_id, np.int64, count))

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
        """A table of what is known: by default area is w * h, nothing is crowd or ignored, ids are 1 .. N."""
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
    def builder(cls, catalog: Catalog) -> AnnotationBuilder:
        """Something to append to, image by image: see `metrics.tables.builders`."""
        from metrics.tables.builders import AnnotationBuilder

        return AnnotationBuilder(catalog)

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
    ) -> AnnotationTable:
        """A table of per-image arrays or tensors, as a data loader gives them.

        Args:
            boxes: for each image (G, 4) in `layout`, pixels; arrays, tensors on any device, or lists.
            labels: for each image (G,) class indices.
            catalog: images, in the order of the lists, and classes. By default images 0, 1, 2, ...
            classes: names, where there is no catalog; by default the labels themselves.
            layout: of `boxes`.
            area: for each image (G,) square pixels; by default w * h.
            crowd: for each image (G,) flags; by default none.
            ignored: likewise.
        """
        from metrics.tables.builders import annotations_from_images

        return annotations_from_images(
            boxes, labels, catalog, classes, layout, area=area, crowd=crowd, ignored=ignored
        )

    @classmethod
    def from_frame(cls, frame: pandas.DataFrame, catalog: Catalog | None = None) -> AnnotationTable:
        """The table of a DataFrame with one row per object; the inverse of `to_frame`.

        Args:
            frame: columns image_id; class or class_id; x, y and w, h (or x1, y1, x2, y2); and where known
                area, crowd, ignored, object_id.
            catalog: the images and classes; by default those that occur in `frame`.
        """
        from metrics.tables.frame import annotations_from_frame

        return annotations_from_frame(frame, catalog)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DetectionTable(Table):
    """What was found: every detection on a data set, in the order in which it was given (which breaks ties).

    Attributes:
        catalog: the images and classes of the truth that the detections answer to.
        image: (N,) int32 index of the image in `catalog.image_ids`.
        label: (N,) int32 in [0, C).
        xywh: (N, 4) float64 pixels of the original image; finite.
        score: (N,) float64, finite; higher is surer.
    """

    kind: ClassVar[Literal["annotations", "detections"]] = "detections"

    score: NDArray[np.float64]

    def __post_init__(self) -> None:
        Table.__post_init__(self)
        put(self, "score", floats(self, "score", self.score, (len(self.image),)))

    @classmethod
    def builder(cls, catalog: Catalog) -> DetectionBuilder:
        """Something to append to, image by image: see `metrics.tables.builders`."""
        from metrics.tables.builders import DetectionBuilder

        return DetectionBuilder(catalog)

    @classmethod
    def from_images(
        cls,
        catalog: Catalog,
        boxes: Sequence[Any],
        scores: Sequence[Any],
        labels: Sequence[Any],
        layout: Layout = "xyxy",
    ) -> DetectionTable:
        """A table of per-image arrays or tensors, as a detector gives them.

        Args:
            catalog: that of the truth; its images are in the order of the lists.
            boxes: for each image (N, 4) in `layout`, pixels; arrays, tensors on any device, or lists.
            scores: for each image (N,).
            labels: for each image (N,) class indices.
            layout: of `boxes`.
        """
        from metrics.tables.builders import detections_from_images

        return detections_from_images(catalog, boxes, scores, labels, layout)

    @classmethod
    def from_frame(cls, frame: pandas.DataFrame, catalog: Catalog) -> DetectionTable:
        """The table of a DataFrame with one row per detection; the inverse of `to_frame`.

        Args:
            frame: columns image_id; class or class_id; x, y and w, h (or x1, y1, x2, y2); score.
            catalog: that of the truth. An image or class that it does not have is an error.
        """
        from metrics.tables.frame import detections_from_frame

        return detections_from_frame(frame, catalog)
