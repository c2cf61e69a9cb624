"""Darknet's ``result.json``: a list of frames with objects in ``relative_coordinates`` and a confidence."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.image_annotations import number
from metrics.formats.records import records
from metrics.formats.untrusted import read_head, read_json
from metrics.tables import AnnotationTable


def _is_ours(path: Path) -> bool:
    return path.is_file() and b'"relative_coordinates"' in read_head(path)


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    rows = DetectionRows(str(path), relative=True)
    for k, frame in enumerate(records(read_json(path), str(path))):
        where = f"{path}: [{k}]"
        if not isinstance(frame.get("filename"), str):
            raise InputError(f"{where}: has no filename; expected the image's")
        for n, each in enumerate(records(frame.get("objects") or [], f"{where}: objects")):
            place = f"{where}: objects[{n}]"
            box, name = each.get("relative_coordinates"), each.get("name")
            if not isinstance(box, dict):
                raise InputError(
                    f"{place}: relative_coordinates: expected center_x, center_y, width and height"
                )
            x, y, w, h = (
                number(box.get(key), f"{place}: {key}") for key in ("center_x", "center_y", "width", "height")
            )
            label = (
                name
                if isinstance(name, str) and name
                else int(number(each.get("class_id"), f"{place}: class_id"))
            )
            score = number(each.get("confidence"), f"{place}: confidence")
            rows.add(frame["filename"], label, (x - w / 2, y - h / 2, w, h), score, place)
    return rows


LAYOUT = DetectionLayout(
    name="darknet",
    summary="darknet's result.json (detector test -out)",
    source="github.com/AlexeyAB/darknet#how-to-use-on-the-command-line",
    is_ours=_is_ours,
    read=_read,
)
