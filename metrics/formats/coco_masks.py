"""Masks of COCO files: ``segmentation`` of annotations, as polygons or run-length codes."""

from __future__ import annotations

import mmap
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.formats.coco_columns import ids_like_images, read_classes, read_images, read_objects
from metrics.formats.identity import to_python
from metrics.formats.mask_objects import MaskObject, RunLengths, parse_polygon, parse_runs
from metrics.formats.untrusted import read_bytes, read_json
from metrics.tables import ImageId

SEGMENTATION = re.compile(rb'"segmentation"\s*:\s*(?:\[\s*\[?\s*[-\d]|\{)')
"""A mask in the text of a COCO file."""


def has_masks(path: Path) -> bool:
    """Whether an annotation of a COCO file has a mask; the file is searched, not parsed."""
    with path.open("rb") as opened:
        if opened.read(2) != b"\x1f\x8b":
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
                return SEGMENTATION.search(text) is not None
    return SEGMENTATION.search(read_bytes(path)) is not None


def read_masks(path: Path, class_ids: Sequence[int]) -> Mapping[ImageId, Sequence[MaskObject]]:
    """The objects of each image that has any, in the order of the file.

    Args:
        path: a file that `metrics.formats.coco.read_truth` has accepted.
        class_ids: id of each class; objects of other categories are left out.

    Returns:
        By image id. A polygon of fewer than three points or with values that are not finite is left out; an object without any
        other one, and one with an invalid run-length code, has no mask.
    """
    label_of = {identity: label for label, identity in enumerate(class_ids)}
    objects: dict[ImageId, list[MaskObject]] = defaultdict(list)
    document = read_json(path)
    rows = document["annotations"]
    for row, (image, class_id, crowd) in zip(rows, _identities(document), strict=True):
        label = label_of.get(class_id)
        if label is None:
            continue
        polygons, runs = _parse_segmentation(row.get("segmentation"))
        xywh = _box(row.get("bbox"), polygons, runs)
        objects[image].append(MaskObject(label, crowd, xywh, polygons, runs))
    return dict(objects)


def _identities(document: dict[str, Any]) -> list[tuple[ImageId, int, bool]]:
    """Image id, category id and crowd flag of each annotation, as `metrics.formats.coco.read_truth` reads them."""
    rows, images = document["annotations"], document["images"]
    plain = {int, float}
    kinds = {type(row["image_id"]) for row in rows} | {type(image["id"]) for image in images}
    if (kinds == {str} or kinds <= plain) and all(
        type(row.get("category_id")) in plain and type(row.get("iscrowd")) is not str for row in rows
    ):
        return [
            (
                row["image_id"] if type(row["image_id"]) is str else int(row["image_id"]),
                int(row["category_id"]),
                bool(row.get("iscrowd")),
            )
            for row in rows
        ]
    with warnings.catch_warnings():  # they were shown when the boxes were read
        warnings.simplefilter("ignore")
        where = "annotations"
        known = read_images(images, where)
        read = read_objects(rows, where, read_classes(document["categories"], where))
        read = ids_like_images(known, read, where)
    crowd = (np.nan_to_num(read.crowd) != 0).tolist()
    return list(zip(to_python(read.image_ids), read.class_ids.tolist(), crowd, strict=True))


def _parse_segmentation(given: Any) -> tuple[tuple[NDArray[np.float64], ...], RunLengths | None]:
    if isinstance(given, dict):
        return (), parse_runs(given.get("size"), given.get("counts"))
    if not isinstance(given, list) or not given:
        return (), None
    listed = given if isinstance(given[0], list) else [given]
    polygons = map(parse_polygon, listed)
    return tuple(points for points in polygons if points is not None), None


def _box(
    bbox: Any, polygons: Sequence[NDArray[np.float64]], runs: RunLengths | None
) -> tuple[float, float, float, float]:
    """The box; that of the polygons, or without any of the whole mask, for an annotation that has none."""
    if isinstance(bbox, list) and len(bbox) == 4:
        x, y, w, h = map(float, bbox)
        return x, y, w, h
    if polygons:
        points = np.concatenate(polygons)
        (x, y), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        return x, y, right - x, bottom - y
    height, width = (0, 0) if runs is None else runs.size
    return 0.0, 0.0, float(width), float(height)
