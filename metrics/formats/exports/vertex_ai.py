"""Google's Vertex AI and AutoML: CSV lines ``TRAIN,gs://...,label,x1,y1,,,x2,y2,,``, or JSON lines with ``boundingBoxAnnotations``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.csv_rows import csv_rows, header_of
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    bounding_corners,
    find_files,
    number,
)
from metrics.formats.json_members import objects_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_json_lines
from metrics.plurals import plural

_USES = ("train", "training", "validate", "validation", "test", "unassigned", "")
_VERTICES = 8


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv",), lambda file: _is_csv(header_of(file))) or find_files(
        path, ".jsonl", ("*.jsonl",), lambda file: b'"boundingBoxAnnotations"' in read_head(file)
    )


def _is_csv(first: list[str]) -> bool:
    """Whether the values of a line are a use, an image, a class and eight coordinates; the use may be left out."""
    if first and first[0] not in _USES:
        first = ["", *first]
    return len(first) == 3 + _VERTICES and "://" in first[1]


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    boxes: dict[str, list[Box]] = {}
    uses: dict[str, str | None] = {}
    for file in files:
        for where, name, use, box in _rows(file):
            if uses.setdefault(name, use) != use:
                raise InputError(f"{where}: {name} is in another split than in an earlier line")
            of_image = boxes.setdefault(name, [])
            if box is not None:
                of_image.append(box)
    some = any(uses.values())
    if some and not all(uses.values()):
        name = next(name for name, use in uses.items() if not use)
        raise InputError(
            f"{files[0]}: {name} is in no split (UNASSIGNED), but others are; assign it to TRAIN, VALIDATE or TEST, or none of them"
        )
    return [ImageAnnotation(name, tuple(of), purpose=uses[name], relative=True) for name, of in boxes.items()]


def _rows(file: Path) -> Iterator[tuple[str, str, str | None, Box | None]]:
    if file.suffix.lower() == ".jsonl":
        for where, row in read_json_lines(file):
            yield from _objects(row, where)
        return
    for where, values in csv_rows(file):
        row = values if values[0].lower() in _USES else ["", *values]
        if len(row) != 3 + _VERTICES:
            raise InputError(
                f"{where}: expected a split, an image, a class and eight coordinates, got {plural(len(values), 'value')}"
            )
        box = None
        if row[2]:
            given = [number(value, where) for value in row[3:] if value.strip()]
            if len(given) not in (4, 8):
                raise InputError(
                    f"{where}: expected two or four corners, got {plural(len(given), 'coordinate')}"
                )
            box = Box(row[2], bounding_corners(list(zip(given[::2], given[1::2], strict=True))))
        yield where, row[1], _purpose(row[0]), box


def _objects(row: Any, where: str) -> Iterator[tuple[str, str, str | None, Box | None]]:
    if not isinstance(row, dict) or not isinstance(row.get("imageGcsUri"), str):
        raise InputError(f"{where}: has no imageGcsUri")
    name, use = row["imageGcsUri"], _purpose(_use_of(row))
    yield where, name, use, None
    for k, each in enumerate(objects_in(row, "boundingBoxAnnotations", where)):
        place = f"{where}: boundingBoxAnnotations[{k}]"
        if not isinstance(each.get("displayName"), str):
            raise InputError(f"{place}: has no displayName")
        x1, y1, x2, y2 = (
            number(each.get(key), f"{place}: {key}") for key in ("xMin", "yMin", "xMax", "yMax")
        )
        yield place, name, use, Box(each["displayName"], (x1, y1, x2, y2))


def _use_of(row: dict[str, Any]) -> str:
    labels = row.get("dataItemResourceLabels")
    return str(labels.get("aiplatform.googleapis.com/ml_use") or "") if isinstance(labels, dict) else ""


def _purpose(use: str) -> str | None:
    return "val" if use.strip().lower() == "validate" else parse_purpose(use)


EXPORT = Export(
    name="vertex_ai",
    summary="Vertex AI and AutoML: CSV or JSONL file with images in gs://",
    source="cloud.google.com/vertex-ai/docs/image-data/object-detection/prepare-data",
    looks_for="a CSV file of lines split,gs://image,class,x1,y1,,,x2,y2,, or a .jsonl file with boundingBoxAnnotations",
    files=_files,
    read=_read,
    images=("", "images"),
)
