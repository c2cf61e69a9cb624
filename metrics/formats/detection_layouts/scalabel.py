"""Detections of BDD100K and Scalabel: frames with labels that have ``box2d`` and a score."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.image_annotations import number
from metrics.formats.records import records
from metrics.formats.untrusted import read_head, read_json
from metrics.tables import AnnotationTable


def _is_ours(path: Path) -> bool:
    return path.is_file() and b'"box2d"' in (head := read_head(path)) and b'"labels"' in head


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    document = read_json(path)
    rows = DetectionRows(str(path))
    for k, frame in enumerate(
        records(document.get("frames") if isinstance(document, dict) else document, str(path))
    ):
        where = f"{path}: [{k}]"
        if not isinstance(frame.get("name"), str):
            raise InputError(f"{where}: has no name; expected the file name of the image")
        for n, label in enumerate(records(frame.get("labels") or [], f"{where}: labels")):
            place = f"{where}: labels[{n}]"
            box, category = label.get("box2d"), label.get("category")
            if not isinstance(box, dict) or not isinstance(category, str):
                raise InputError(f"{place}: expected category, score and box2d")
            x1, y1, x2, y2 = (number(box.get(key), f"{place}: {key}") for key in ("x1", "y1", "x2", "y2"))
            score = number(label.get("score"), f"{place}: score")
            rows.add(frame["name"], category, (x1, y1, x2 - x1, y2 - y1), score, place)
    return rows


LAYOUT = DetectionLayout(
    name="scalabel",
    summary="BDD100K's and Scalabel's results: frames with box2d and a score",
    source="doc.bdd100k.com/evaluate.html",
    is_ours=_is_ours,
    read=_read,
)
