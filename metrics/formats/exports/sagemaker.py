"""AWS SageMaker Ground Truth: a manifest with a JSON object per line and image, boxes in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.json_members import object_in, objects_in
from metrics.formats.untrusted import read_head, read_json_lines


def _files(path: Path) -> list[Path]:
    patterns = ("*.manifest", "manifests/output/*.manifest", "*/*.manifest", "*.jsonl")
    return find_files(path, "", patterns, lambda file: b'"source-ref"' in read_head(file, 4096))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [
        _image(row, where, file_purpose(file, root, files))
        for file in files
        for where, row in read_json_lines(file)
    ]


def _image(row: Any, where: str, purpose: str | None) -> ImageAnnotation:
    name = row.get("source-ref") if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{where}: has no source-ref")
    job = next(
        (key for key, value in row.items() if isinstance(value, dict) and "annotations" in value), None
    )
    if job is None:
        raise InputError(f"{where}: has no boxes; expected the output manifest of a bounding box job")
    names = object_in(object_in(row, f"{job}-metadata", where), "class-map", f"{where}: {job}-metadata")
    boxes = []
    for k, each in enumerate(objects_in(row[job], "annotations", f"{where}: {job}")):
        place = f"{where}: {job}: annotations[{k}]"
        label = names.get(str(each.get("class_id")))
        if not isinstance(label, str):
            raise InputError(
                f"{place}: class_id {each.get('class_id')!r} is not in the class-map of {job}-metadata"
            )
        x, y, w, h = (number(each.get(key), f"{place}: {key}") for key in ("left", "top", "width", "height"))
        boxes.append(Box(label, (x, y, x + w, y + h)))
    size = (objects_in(row[job], "image_size", f"{where}: {job}") or [{}])[0]
    height, width = (int(number(size.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    return ImageAnnotation(name, tuple(boxes), (height, width), purpose)


EXPORT = Export(
    name="sagemaker",
    summary="SageMaker Ground Truth: output.manifest",
    source="docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html",
    looks_for="a .manifest file with source-ref",
    files=_files,
    read=_read,
    images=("", "images"),
)
