"""Fast reading of COCO's columns from large, regular files; see `metrics.kernels.json_columns`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.formats.coco_columns import (
    VERIFIED_CLASSES,
    Classes,
    Images,
    Objects,
    Results,
    custom_keys,
    keep_first,
    read_classes,
    read_images,
    read_objects,
)
from metrics.formats.records import Record, records
from metrics.formats.scored_truth import KEYS
from metrics.formats.untrusted import parse_json
from metrics.kernels.json_columns import SMALLEST, Column, Columns, scan_file, top_level

_RESULTS = (
    Column("image_id", "integer"),
    Column("category_id", "integer"),
    Column("bbox", "box"),
    Column("score", "number"),
)
_ANNOTATIONS: Sequence[Column] = (
    Column("id", "integer"),
    Column("image_id", "integer"),
    Column("category_id", "integer"),
    Column("bbox", "box"),
    Column("area", "number", required=False),
    Column("iscrowd", "number", required=False),
    Column("ignore", "number", required=False),
    *(Column(key, "number", required=False) for key in KEYS),
)
_ANNOTATIONS_KEY = re.compile(rb'"annotations"\s*:\s*\[')

_LONGEST_IMAGE = 2**16
"""Bytes of an image's record that are searched for custom keys."""

_IMAGES = (
    Column("id", "integer"),
    Column("width", "integer"),
    Column("height", "integer"),
    Column("file_name", "span"),
)


def scan_results(path: Path) -> Results | None:
    """The columns of a results file; None if it must be parsed."""
    if not path.is_file() or path.stat().st_size < SMALLEST:
        return None
    columns = scan_file(path, _RESULTS)
    if columns is None:
        return None
    return Results(columns["image_id"], columns["category_id"], columns["bbox"], columns["score"])


def scan_truth(data: bytes, where: str) -> tuple[Images, Classes, Objects] | None:
    """The columns of an annotation file; None if it must be parsed.

    Args:
        data: its text.
        where: the file, for error messages.
    """
    if len(data) < SMALLEST:
        return None
    text = np.frombuffer(data + b"\0", np.uint8)
    lists: dict[str, Sequence[Column]] = {"annotations": _ANNOTATIONS} | (
        {} if _has_custom_keys(data) else {"images": _IMAGES}
    )
    values = top_level(text, lists)
    if values is None or not {"images", "annotations", "categories"} <= set(values):
        return None
    images, objects = values["images"], values["annotations"]

    def parsed(key: str) -> list[Record] | None:
        part = values[key]
        value: Any = parse_json(data[part], where) if isinstance(part, slice) else None
        return records(value, f"{where}: {key}") if isinstance(value, list) else None

    image_rows, category_rows, object_rows = map(parsed, ("images", "categories", "annotations"))
    if category_rows is None:
        return None
    if isinstance(images, dict):
        read = _images(images, text, f"{where}: images")
    elif image_rows is not None:
        read = read_images(image_rows, f"{where}: images")
    else:
        return None
    classes = read_classes(category_rows, f"{where}: categories")
    if isinstance(objects, dict):
        columns = _objects(objects)
    elif object_rows is not None:
        columns = read_objects(object_rows, f"{where}: annotations", classes)
    else:
        return None
    return read, classes, columns


def _has_custom_keys(data: bytes) -> bool:
    """Whether the first image has custom keys, or any has verified classes, so that images are parsed in full to keep them."""
    start = max(data.find(b'"images"'), 0)
    following = _ANNOTATIONS_KEY.search(
        data, start
    )  # most files have images first: their annotations are not searched
    last = following.start() if following else len(data)
    if any(data.find(f'"{key}"'.encode(), start, last) >= 0 for key in VERIFIED_CLASSES):
        return True
    begin = re.compile(rb'"images"\s*:\s*\[\s*(?=\{)').match(data, start)
    if begin is None:
        return False
    try:
        head = data[begin.end() : begin.end() + _LONGEST_IMAGE].decode("utf-8", "replace")
        first, _ = json.JSONDecoder().raw_decode(head)
    except (ValueError, RecursionError):
        return False
    return bool(custom_keys(first))


def _images(columns: Columns, text: NDArray[np.uint8], where: str) -> Images:
    import orjson

    whole = text.data
    spans = columns["file_name"].tolist()
    names = [orjson.loads(whole[first:last]) for first, last in spans]
    sizes = np.stack([columns["height"], columns["width"]], axis=1)
    return keep_first(columns["id"], sizes, names, where)


def _objects(columns: Columns) -> Objects:
    first, second = (columns[key] for key in KEYS)
    return Objects(
        columns["image_id"],
        columns["category_id"],
        columns["bbox"],
        columns["area"],
        columns["iscrowd"],
        columns["ignore"],
        columns["id"],
        np.where(np.isnan(first), second, first),
    )
