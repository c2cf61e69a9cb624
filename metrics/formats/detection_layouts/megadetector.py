"""MegaDetector's output: ``images`` with a ``file`` and ``detections``, boxes ``[x, y, w, h]`` in fractions, and category names."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.image_annotations import number
from metrics.formats.json_members import list_in, object_in, objects_in
from metrics.formats.untrusted import read_head, read_json
from metrics.tables import AnnotationTable


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    head = read_head(path)
    return b'"detection_categories"' in head or (
        b'"file"' in head and b'"conf"' in head and b'"detections"' in head
    )


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    document = read_json(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected an object with images and detection_categories")
    names = object_in(document, "detection_categories", str(path))
    rows = DetectionRows(str(path), relative=True)
    for k, image in enumerate(objects_in(document, "images", str(path))):
        where = f"{path}: images[{k}]"
        if not isinstance(image.get("file"), str):
            raise InputError(f"{where}: has no file; expected the name of the image's file")
        for n, each in enumerate(objects_in(image, "detections", where)):
            place = f"{where}: detections[{n}]"
            label, box = names.get(str(each.get("category"))), list_in(each, "bbox", place)
            if not isinstance(label, str) or len(box) != 4:
                raise InputError(
                    f"{place}: expected a category of detection_categories and bbox [x, y, w, h]"
                )
            x, y, w, h = (number(value, f"{place}: bbox") for value in box)
            rows.add(image["file"], label, (x, y, w, h), number(each.get("conf"), f"{place}: conf"), place)
    return rows


LAYOUT = DetectionLayout(
    name="megadetector",
    summary="MegaDetector's JSON file with detection_categories",
    source="lila.science/megadetector-output-format",
    is_ours=_is_ours,
    read=_read,
)
