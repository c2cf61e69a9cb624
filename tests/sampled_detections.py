"""Some detections on four pictures, the ground truth that they are read for, and what reading them gives."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from layouts.registry import Found
from tiny_data import CLASSES, Picture

from metrics import read_detections
from metrics.errors import InputError
from metrics.notes import note_of
from metrics.tables import AnnotationTable, Catalog, DetectionTable

NAMES = ("img000", "a b", "straße", "img.003")
PICTURES = [Picture(name) for name in NAMES]
FOUND = [
    Found(PICTURES[0], 0, (2.0, 3.0, 30.0, 40.0), 0.9),
    Found(PICTURES[0], 1, (10.5, 8.0, 60.0, 47.0), 0.75),
    Found(PICTURES[1], 1, (40.0, 30.0, 63.0, 48.0), 0.5),
    Found(PICTURES[3], 0, (33.0, 25.0, 50.0, 44.0), 0.25),
    Found(PICTURES[3], 1, (31.0, 20.0, 64.0, 48.0), 0.125),
]


def truth(pictures: list[Picture] = PICTURES, class_ids: tuple[int, int] = (1, 2)) -> AnnotationTable:
    catalog = Catalog.of(
        range(1, len(pictures) + 1),
        CLASSES,
        [picture.size for picture in pictures],
        [f"images/{picture.name}.png" for picture in pictures],
        class_ids,
    )
    return AnnotationTable.of(catalog, [0, 1], [0, 1], [[2, 3, 28, 37], [40, 30, 23, 18]])


def rows(table: DetectionTable) -> list[tuple[float, ...]]:
    columns = (table.image, table.label, table.score)
    return sorted(zip(*(column.tolist() for column in columns), *table.boxes.T.tolist(), strict=True))


def expected(found: list[Found], pictures: list[Picture]) -> list[tuple[float, ...]]:
    return sorted((pictures.index(e.picture), e.label, e.score, *e.box) for e in found)


def read(
    path: Path, table: AnnotationTable | None = None, **options: Any
) -> tuple[DetectionTable, list[str]]:
    """A table, and the kinds of notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read_detections(path, table or truth(), **options)
    return found, [note_of(one.message).kind for one in caught]


def refusal(path: Path) -> str:
    """Why a path is refused; empty where it is read."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return ""
