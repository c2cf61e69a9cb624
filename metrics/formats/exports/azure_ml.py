"""Azure Machine Learning: JSON lines with ``image_url`` and labels in fractions of the image's sides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.json_members import objects_in
from metrics.formats.untrusted import read_head, read_json_lines
from metrics.notes import Note, report
from metrics.plurals import plural


def _files(path: Path) -> list[Path]:
    return find_files(path, ".jsonl", ("*.jsonl", "*/*.jsonl"), _is_azure)


def _is_azure(file: Path) -> bool:
    head = read_head(file)
    return b'"image_url"' in head and b'"topX"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = [
        _image(row, where, file_purpose(file, root, files))
        for file in files
        for where, row in read_json_lines(file)
    ]
    crowds = sum(box.crowd for image in images for box in image.boxes)
    if crowds:
        text = f"{root}: {plural(crowds, 'box with isCrowd is a crowd region', 'boxes with isCrowd are crowd regions')}"
        report(Note("ignored_regions", text, str(root), {"regions": crowds}))
    return images


def _image(row: Any, where: str, purpose: str | None) -> ImageAnnotation:
    if not isinstance(row, dict) or not isinstance(row.get("image_url"), str):
        raise InputError(f"{where}: has no image_url")
    boxes = []
    for k, each in enumerate(objects_in(row, "label", where)):
        place = f"{where}: label[{k}]"
        if not isinstance(each.get("label"), str):
            raise InputError(f"{place}: has no label")
        x1, y1, x2, y2 = (
            number(each.get(key), f"{place}: {key}") for key in ("topX", "topY", "bottomX", "bottomY")
        )
        crowd = str(each.get("isCrowd")).lower() in ("1", "true")
        boxes.append(Box(each["label"], (x1, y1, x2, y2), crowd=crowd))
    return ImageAnnotation(row["image_url"], tuple(boxes), purpose=purpose, relative=True)


EXPORT = Export(
    name="azure_ml",
    summary="Azure Machine Learning: JSON lines",
    source="learn.microsoft.com/azure/machine-learning/reference-automl-images-schema",
    looks_for="a .jsonl file with image_url and topX",
    files=_files,
    read=_read,
    images=("", "images"),
)
