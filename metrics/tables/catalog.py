"""The catalog of a data set: its images and classes, which the rows of a table index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.plurals import plural
from metrics.tables.class_names import distinct_names
from metrics.tables.columns import check_count, check_ids, integers, set_field

if TYPE_CHECKING:
    from typing import Self

ImageId = int | str

ImageValue = int | str | None
"""A value of an image column: an integer, a string, or None where it is unknown."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Catalog:
    """The images and classes of a data set.

    Two catalogs are equal when they have the same images and classes: equality ignores `image_columns`, which do not affect
    any measure, `image_classes`, `class_columns` and `class_lists`. The fingerprint has `image_classes` of these only.

    Attributes:
        image_ids: I ids, all integers or all strings, strictly increasing. Ties between scores are broken by image
            order, as in pycocotools.
        sizes: (I, 2) int32 (height, width) in pixels; 0 where unknown.
        file_names: I names, relative to the data set's folder; empty where unknown.
        class_ids: C ids as in the user's files, strictly increasing.
        classes: C names, in the order of `class_ids`. A label is an index into both. Names that several classes have get
            the class's id, ``bolt (1)`` and ``bolt (2)``, and this is reported.
        image_columns: further columns by name, I values each: for example the video or patient of each image.
        image_classes: class ids of each image by name, I tuples each, of data sets in which not every class is annotated on
            every image. LVIS's are ``negative`` (verified to be absent) and ``not_exhaustive`` (not all of its objects are
            annotated), Open Images' are ``present`` and ``absent``. Read by protocols only, and part of the fingerprint.
        class_columns: further columns by name, C values each: for example LVIS's ``frequency``.
        class_lists: class ids of each class by name, C tuples each: Open Images' ``ancestors``, the classes above it.
    """

    image_ids: tuple[int, ...] | tuple[str, ...]
    sizes: NDArray[np.int32]
    file_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    classes: tuple[str, ...]
    image_columns: Mapping[str, tuple[ImageValue, ...]] = field(default_factory=dict)
    image_classes: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    class_columns: Mapping[str, tuple[ImageValue, ...]] = field(default_factory=dict)
    class_lists: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("image_ids", "file_names", "class_ids", "classes"):
            set_field(self, name, tuple(getattr(self, name)))
        count = len(self.image_ids)
        set_field(self, "sizes", integers(self, "sizes", self.sizes, np.int32, (count, 2)))
        check_ids(self, "image_ids", self.image_ids, (int, str))
        check_ids(self, "class_ids", self.class_ids, (int,))
        check_count(self, "file_names", len(self.file_names), count, "image")
        check_count(self, "classes", len(self.classes), len(self.class_ids), "class id")
        set_field(self, "classes", distinct_names(self.classes, self.class_ids))
        set_field(self, "image_columns", {name: tuple(column) for name, column in self.image_columns.items()})
        for name, column in self.image_columns.items():
            check_count(self, f"image_columns[{name!r}]", len(column), count, "image")
        for name, lists in self.image_classes.items():
            check_count(self, f"image_classes[{name!r}]", len(lists), count, "image")
        for name, lists in self.class_lists.items():
            check_count(self, f"class_lists[{name!r}]", len(lists), len(self.class_ids), "class id")
        for name, column in self.class_columns.items():
            check_count(self, f"class_columns[{name!r}]", len(column), len(self.class_ids), "class id")
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
        """Make a catalog, with defaults for unknown columns.

        Args:
            image_ids: all integers or all strings; increasing.
            classes: C names.
            sizes: (I, 2) (height, width) in pixels; by default unknown.
            file_names: by default unknown.
            class_ids: by default 0 .. C - 1.
            image_columns: by default none.
        """
        ids = tuple(image_ids)
        return cls(
            ids,  # type: ignore[arg-type]  # the constructor checks that all have one type
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
        return f"Catalog({plural(len(self.image_ids), 'image')}, {plural(len(self.classes), 'class')})"

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of images, classes and `image_classes`; the same on every machine."""
        names = [self.image_ids, self.file_names, self.class_ids, self.classes]
        digest = hashlib.sha256(json.dumps(names).encode())
        digest.update(self.sizes.astype("<i4").tobytes())
        if self.image_classes:
            digest.update(json.dumps(sorted(self.image_classes.items())).encode())
        return digest.hexdigest()

    def select(self, images: ArrayLike) -> Self:
        """The catalog of some images: a (I,) mask, or indices in any order (the catalog's order is kept)."""
        kept = self.image_indices(images)
        return type(self)(
            tuple(self.image_ids[i] for i in kept),
            self.sizes[kept],
            tuple(self.file_names[i] for i in kept),
            self.class_ids,
            self.classes,
            {name: tuple(column[i] for i in kept) for name, column in self.image_columns.items()},
            {name: tuple(lists[i] for i in kept) for name, lists in self.image_classes.items()},
            self.class_columns,
            self.class_lists,
        )

    def image_indices(self, images: ArrayLike) -> NDArray[np.intp]:
        """Increasing indices of the images given by a (I,) mask or by indices.

        Raises:
            InputError: a mask of another length, an index out of range, or a repeated index.
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
        repeated = indices[:-1][np.diff(indices) == 0]
        if len(repeated):
            raise InputError(
                f"images: {self.image_ids[repeated[0]]!r} is selected twice; a table has each image once"
            )
        return indices
