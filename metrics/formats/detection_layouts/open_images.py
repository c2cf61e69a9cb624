"""Detections in the columns of Open Images: ``ImageID,LabelName,Score,XMin,XMax,YMin,YMax`` in fractions of the image's sides."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.exports.open_images import COLUMNS, class_names
from metrics.formats.image_annotations import number
from metrics.tables import AnnotationTable

_SCORES = ("score", "conf", "confidence")


def _is_ours(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() != ".csv":
        return False
    header = set(header_of(path))
    return set(COLUMNS) <= header and bool(set(_SCORES) & header)


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    score_name = next(name for name in _SCORES if name in header_of(path))
    names = class_names(path.parent)
    known = set(truth.catalog.classes)
    rows = DetectionRows(str(path), relative=True)
    for place, row in named_rows(path, (*COLUMNS, score_name)):
        label = row["labelname"]
        if label not in known and label.startswith("/") and label not in names:
            raise InputError(
                f"{place}: LabelName {label!r} is not a class of the ground truth; put class-descriptions-boxable.csv of Open Images "
                f"beside this file, which names the class"
            )
        x1, x2, y1, y2 = (number(row[key], f"{place}: {key}") for key in COLUMNS[2:])
        score = number(row[score_name], f"{place}: {score_name}")
        rows.add(
            row["imageid"],
            label if label in known else names.get(label, label),
            (x1, y1, x2 - x1, y2 - y1),
            score,
            place,
        )
    return rows


LAYOUT = DetectionLayout(
    name="open_images",
    summary="a CSV table with the columns of Open Images and a score",
    source="storage.googleapis.com/openimages/web/challenge2019.html",
    is_ours=_is_ours,
    read=_read,
)
