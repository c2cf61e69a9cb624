"""Hugging Face's ``imagefolder``: ``metadata.jsonl`` beside the images, with ``objects`` of boxes (COCO's, in pixels) and categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    find_files,
    four_numbers,
)
from metrics.formats.purpose import folder_purpose
from metrics.formats.scored_truth import KEYS, score_in
from metrics.formats.untrusted import read_head, read_json_lines
from metrics.notes import Note, report

_BOXES = ("bbox", "bboxes", "box", "boxes")
_CLASSES = ("category", "categories", "label", "labels", "category_name", "class", "classes", "category_id")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".jsonl", ("*.jsonl", "*/*.jsonl", "*/*/*.jsonl"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"file_name"' in head and b'"objects"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    images = []
    numbered = False
    for file in files:
        folder = file.parent.relative_to(top).as_posix()
        for where, row in read_json_lines(file):
            name = row.get("file_name") if isinstance(row, dict) else None
            if not isinstance(name, str) or not name:
                raise InputError(f"{where}: file_name: has no image; expected the name of its file")
            boxes = list(_boxes(row.get("objects"), f"{where}: objects"))
            numbered = numbered or any(box.label.isdecimal() for box in boxes)
            written = name if folder == "." else f"{folder}/{name}"
            purpose = folder_purpose(written.split("/")[:-1])
            images.append(ImageAnnotation(written, tuple(boxes), purpose=purpose))
    if numbered:
        text = (
            f"{root}: classes are numbers, whose names are not in metadata.jsonl; name them with data.classes"
        )
        report(Note("made_names", text, str(root)))
    return images


def _boxes(objects: Any, where: str) -> Iterator[Box]:
    """Objects as lists of equal length, or as a list of objects."""
    if objects is None:
        return
    if isinstance(objects, dict):
        box_key, class_key = _key(objects, _BOXES, where), _key(objects, _CLASSES, where)
        boxes, classes = objects[box_key], objects[class_key]
        if not isinstance(boxes, list) or not isinstance(classes, list) or len(boxes) != len(classes):
            raise InputError(f"{where}: expected equally long lists {box_key} and {class_key}")
        rows = [{box_key: box, class_key: label} for box, label in zip(boxes, classes, strict=True)]
        for key in KEYS:
            values = objects.get(key)
            if isinstance(values, list) and len(values) == len(rows):
                rows = [row | {key: value} for row, value in zip(rows, values, strict=True)]
    elif isinstance(objects, list):
        rows = objects
    else:
        raise InputError(f"{where}: expected lists of boxes and categories")
    for k, row in enumerate(rows):
        place = f"{where}[{k}]"
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected an object with bbox and category")
        box, label = row[_key(row, _BOXES, place)], row[_key(row, _CLASSES, place)]
        x, y, w, h = four_numbers(box, f"{place}: bbox")
        if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
            raise InputError(f"{place}: expected a class number or name, got {str(label)[:40]!r}")
        yield Box(str(label), (x, y, x + w, y + h), score=score_in(row))


def _key(row: dict[str, Any], names: Sequence[str], where: str) -> str:
    found = next((name for name in names if name in row), None)
    if found is None:
        raise InputError(f"{where}: has no {names[0]}; it has {', '.join(row)[:100]}")
    return found


EXPORT = Export(
    name="hugging_face",
    summary="Hugging Face's imagefolder: metadata.jsonl with objects",
    source="huggingface.co/docs/datasets/image_dataset#object-detection",
    looks_for="a .jsonl file with file_name and objects",
    files=_files,
    read=_read,
    images=("",),
)
