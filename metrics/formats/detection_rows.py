"""Detections row by row, as the readers of `metrics.formats.detection_layouts` give them, and these layouts by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.formats.coco_columns import Results
from metrics.formats.identity import CLASS_MAP_ADVICE, ClassMap, are_ids, ids_of_names
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable, Catalog, ImageId

XYWH = tuple[float, float, float, float]


class DetectionRows:
    """Collects detections in the order of the file.

    Args:
        where: the file or folder, for messages.
        relative: whether boxes are in fractions of the image's sides.
        indices: whether whole numbers as classes are indices from 0, in the order of the ground truth's classes.
    """

    def __init__(self, where: str, *, relative: bool = False, indices: bool = False) -> None:
        self.where = where
        self.relative = relative
        self.indices = indices
        self._images: list[ImageId] = []
        self._labels: list[int | str] = []
        self._xywh: list[XYWH] = []
        self._scores: list[float] = []
        self._first_place: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, image: ImageId, label: int | str, xywh: XYWH, score: float, place: str) -> None:
        """Append a detection.

        Args:
            image: id of the ground truth, or the name of the image's file, with or without folders and suffix.
            label: class id (or index), or name.
            xywh: box.
            score: of the detection.
            place: where it is in the file, for messages.

        Raises:
            InputError: an id has more than 64 bits.
        """
        for what, number in (("image", image), ("class", label)):
            if isinstance(number, int) and not -(2**63) <= number < 2**63:
                raise InputError(f"{place}: {what} {str(number)[:30]}: an id has at most 64 bits")
        self._images.append(image)
        self._labels.append(label)
        self._xywh.append(xywh)
        self._scores.append(score)
        if isinstance(label, str):
            self._first_place.setdefault(label, place)

    def results(self, catalog: Catalog, class_map: ClassMap | None) -> Results:
        """Detections as of a results file, whose ids are looked up, mapped and checked by the same code.

        Raises:
            InputError: the ground truth lacks a class name or index.
        """
        names = list(self._first_place)
        named = bool(names) and not are_ids(names, catalog)
        if named:

            def refusal(index: int, problem: str) -> InputError:
                return InputError(f"{self._first_place[names[index]]}: class {names[index]!r}: {problem}")

            ids = ids_of_names(names, catalog, class_map, refusal)
        else:
            ids = list(map(int, names))
        id_of: dict[int | str, int] = dict(zip(names, ids, strict=True))
        class_ids = np.array(
            [id_of[label] if isinstance(label, str) else label for label in self._labels], np.int64
        )
        indexed = self.indices and not named and class_map in (None, "drop")
        return Results(
            np.array(self._images, np.int64)
            if all(isinstance(image, int) for image in self._images)
            else self._images,
            self._ids_of_indices(class_ids, catalog, class_map) if indexed else class_ids,
            np.array(self._xywh, np.float64).reshape(-1, 4),
            np.array(self._scores, np.float64),
            self.relative,
            mapped=named or indexed,
        )

    def _ids_of_indices(
        self, indices: NDArray[np.int64], catalog: Catalog, class_map: ClassMap | None
    ) -> NDArray[np.int64]:
        """The class ids of class indices from 0, which is reported where they differ."""
        count = len(catalog.class_ids)
        unknown = (indices < 0) | (indices >= count)
        if unknown.any() and class_map != "drop":
            raise InputError(
                f"{self.where}: class {indices[np.argmax(unknown)]} in {np.count_nonzero(unknown)} of {plural(len(indices), 'detection')}, "
                f"but the ground truth has {plural(count, 'class')}: expected indices 0 .. {count - 1}; {CLASS_MAP_ADVICE}, or pass "
                f"--class-map drop to leave such detections out"
            )
        if catalog.class_ids != tuple(range(count)) and len(indices):
            text = (
                f"{self.where}: classes are indices from 0, as this program writes them: 0 is {catalog.classes[0]!r}, "
                f"category_id {catalog.class_ids[0]} of the ground truth"
            )
            report(Note("class_indices", text, self.where, {"classes": count}))
        absent = min((*catalog.class_ids, 0)) - 1
        ids = np.array([*catalog.class_ids, absent], np.int64)
        return ids[np.where(unknown, count, indices)]


def numbered_class(number: int, names: Sequence[str], catalog: Catalog) -> int | str:
    """What a benchmark's class number stands for: its name there if the ground truth has a class of that name, else a class id.

    Args:
        number: from 1.
        names: the benchmark's classes 1, 2, ...
        catalog: of the ground truth.
    """
    name = names[number - 1] if number <= len(names) else ""
    return name if name in catalog.classes else number


class DetectionSource(Protocol):
    """What a reader returns: rows, or columns of a table."""

    @property
    def where(self) -> str:
        """The file or folder, for messages."""
        ...

    def results(self, catalog: Catalog, class_map: ClassMap | None) -> Results:
        """Detections with the ids of the file."""
        ...


@dataclass(frozen=True, slots=True)
class DetectionLayout:
    """A layout of detections.

    Attributes:
        name: the name of its file in `metrics.formats.detection_layouts`.
        summary: the program that writes it, and what.
        source: page that describes it.
        is_ours: whether a file or folder has the layout; it is not parsed.
        read: read the detections of a path; the ground truth is for sizes and file names of images.
        general: whether paths of other layouts look like it, too, so that those are looked for first.
    """

    name: str
    summary: str
    source: str
    is_ours: Callable[[Path], bool]
    read: Callable[[Path, AnnotationTable], DetectionSource]
    general: bool = False


@cache
def detection_layouts() -> Mapping[str, DetectionLayout]:
    """The layouts by name: the `LAYOUT` of each module of `metrics.formats.detection_layouts`, in alphabetical order, general ones last."""
    package = importlib.import_module("metrics.formats.detection_layouts")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found: dict[str, DetectionLayout] = {
        name: importlib.import_module(f"{package.__name__}.{name}").LAYOUT for name in names
    }
    return dict(sorted(found.items(), key=lambda item: item[1].general))


def find_detection_layout(path: Path) -> DetectionLayout | None:
    """The layout of a file or folder; None where it has none of them."""
    return next((layout for layout in detection_layouts().values() if layout.is_ours(path)), None)
