"""Two data sets that are joined, and the objects of a data set as rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_data import Picture, pictures, write_coco, write_voc

from bench.data.types import Dataset
from metrics.errors import InputWarning
from metrics.tables import AnnotationTable

Row = tuple[str, str, tuple[float, ...], bool]


def sizes(data: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in data.splits.items()}


def rows(truth: AnnotationTable) -> list[Row]:
    """Own name of the image's file, class, box and crowd of each object, sorted."""
    catalog = truth.catalog
    return sorted(
        (
            Path(catalog.file_names[image]).name,
            catalog.classes[label],
            tuple(box.round(3).tolist()),
            bool(crowd),
        )
        for image, label, box, crowd in zip(truth.image, truth.label, truth.boxes, truth.crowd, strict=True)
    )


def all_rows(data: Dataset) -> list[Row]:
    return sorted(row for split in data.splits.values() for row in rows(split.truth))


def notes(data: Dataset, kind: str) -> list[str]:
    return [str(note) for note in data.notes if note.kind == kind]


def write_two_parts(folder: Path) -> tuple[Path, Path]:
    """A COCO file without splits of cat and dog, and a VOC folder with splits of dog and hen, whose image names overlap."""
    write_coco(folder / "farm" / "instances.json", pictures(30))
    shown = [Picture(f"img{k:03d}", objects=[(k % 2, (8, 8, 24, 40))]) for k in range(25, 37)]
    names = [picture.name for picture in shown]
    write_voc(
        folder / "yard",
        shown,
        {"train": names[:6], "val": names[6:9], "test": names[9:]},
        classes=["dog", "hen"],
    )
    return folder / "farm", folder / "yard"


def warnings_ignored() -> pytest.WarningsRecorder:
    return pytest.warns(InputWarning)
