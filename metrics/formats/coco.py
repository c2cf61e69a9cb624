"""COCO's files: annotations (``instances_*.json``) and results, to tables and back.

What a field means is the reference's doing (pycocotools), also where it surprises; what the reference passes over
in silence is told as an `InputWarning` with the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.errors import InputError
from metrics.formats.coco_columns import (
    Classes,
    Found,
    Images,
    Objects,
    read_classes,
    read_found,
    read_images,
    read_objects,
)
from metrics.formats.coco_scan import scan_found, scan_truth
from metrics.formats.identity import ClassMap, find_classes, find_images, plain, positions
from metrics.formats.plausibility import check_annotations, check_detections, tell
from metrics.formats.records import Record, records
from metrics.formats.untrusted import parse_json, read_bytes, write_bytes
from metrics.registry import did_you_mean
from metrics.tables import AnnotationTable, Catalog, DetectionTable, ImageId


def read_truth(path: str | Path) -> AnnotationTable:
    """The annotations of a COCO file, in the file's order; images and classes sorted by id.

    ``bbox`` and ``category_id`` count, masks and keypoints are passed over. ``iscrowd`` is a flag (missing: 0;
    anything but 0 is a crowd), ``area`` is the object's size as annotated (missing: w * h), ``ignore`` is passed
    over, as by the reference. Keys of images that the format does not have and that put some images together (``video_id``,
    ``patient``) become ``catalog.image_columns``. Annotations on images or of categories that the file does not list are left out
    and counted. Image ids are whole numbers or, for all images, strings.

    Args:
        path: a JSON file in UTF-8, plain or gzip.

    Raises:
        InputError: not such a file, and what it looks like instead; or a value that cannot be used, with its
            place and ids.
    """
    where = str(path)
    data = read_bytes(path)
    images, (class_ids, classes), objects = scan_truth(data, where) or _parse_truth(data, where)
    del data
    order = sorted(range(len(images.ids)), key=images.ids.__getitem__)
    catalog = Catalog.of(
        [images.ids[i] for i in order],
        classes,
        images.sizes[order],
        [images.file_names[i] for i in order],
        class_ids,
        {key: [column[i] for i in order] for key, column in images.columns.items()},
    )
    table = _annotation_table(catalog, objects, f"{where}: annotations")
    check_annotations(table, f"{where}: annotations")
    return table


def read_detections(
    path: str | Path, truth: AnnotationTable, class_map: ClassMap | None = None
) -> DetectionTable:
    """The detections of a COCO results file, in the file's order.

    A results file is a list of ``{"image_id", "category_id", "bbox": [x, y, w, h], "score"}``; further fields are
    passed over, as by the reference. A file that brings images and categories of its own (a dict like that of
    annotations, each with a score) is matched by file name and by class name.

    Args:
        path: a JSON file in UTF-8, plain or gzip.
        truth: what the detections answer to.
        class_map: how class ids become the truth's, where they are not; see `metrics.formats.identity`.

    Raises:
        InputError: not such a file; an image or class that the truth does not have; a value that cannot be used.
    """
    where = str(path)
    found = scan_found(Path(path)) or _parse_found(path, truth.catalog, by_name=class_map is None)
    table = _detection_table(truth.catalog, found, where, class_map)
    check_detections(table, truth, where)
    return table


def write_truth(table: AnnotationTable, path: str | Path) -> None:
    """Write annotations as a COCO file, whole or not at all.

    Ignored objects get ``"ignore": 1``, which the reference does not read: COCO has no such thing.
    """
    import orjson

    catalog = table.catalog
    ids: Sequence[ImageId] = catalog.image_ids
    images = [
        {"id": identity, "file_name": name, "width": width, "height": height}
        | {key: column[at] for key, column in catalog.image_columns.items()}
        for at, (identity, name, (height, width)) in enumerate(
            zip(ids, catalog.file_names, catalog.sizes.tolist(), strict=True)
        )
    ]
    categories = [
        {"id": identity, "name": name}
        for identity, name in zip(catalog.class_ids, catalog.classes, strict=True)
    ]
    columns = (
        table.object_id, table.image, table.label, table.xywh, table.area, table.crowd, table.ignored,
    )  # fmt: skip
    annotations = [
        {
            "id": object_id,
            "image_id": ids[image],
            "category_id": catalog.class_ids[label],
            "bbox": xywh,
            "area": area,
            "iscrowd": int(crowd),
        }
        | ({"ignore": 1} if ignored else {})
        for object_id, image, label, xywh, area, crowd, ignored in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write_bytes(path, orjson.dumps(document))


def write_detections(table: DetectionTable, path: str | Path) -> None:
    """Write detections as a COCO results file, whole or not at all; numbers read back as the same doubles."""
    import orjson

    catalog = table.catalog
    columns = (table.image, table.label, table.xywh, table.score)
    results = [
        {
            "image_id": catalog.image_ids[image],
            "category_id": catalog.class_ids[label],
            "bbox": xywh,
            "score": score,
        }
        for image, label, xywh, score in zip(*(column.tolist() for column in columns), strict=True)
    ]
    write_bytes(path, orjson.dumps(results))


def _parse_truth(data: bytes, where: str) -> tuple[Images, Classes, Objects]:
    document = parse_json(data, where)
    _check_truth(document, where)
    images, categories, annotations = (
        records(document[key], f"{where}: {key}") for key in ("images", "categories", "annotations")
    )
    return (
        read_images(images, f"{where}: images"),
        read_classes(categories, f"{where}: categories"),
        read_objects(annotations, f"{where}: annotations"),
    )


def _parse_found(path: str | Path, catalog: Catalog, by_name: bool) -> Found:
    where = str(path)
    document = parse_json(read_bytes(path), where)
    if isinstance(document, dict):
        return _with_own_catalog(document, catalog, where, by_name)
    return read_found(records(document, where), where)


def _check_truth(document: Any, where: str) -> None:
    if isinstance(document, list):
        first = document[0] if document else None
        looks = "; it looks like results (detections)" if isinstance(first, dict) and "score" in first else ""
        raise InputError(
            f"{where}: is a list{looks}; expected annotations: an object with images, annotations and categories"
        )
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if document.get(key) is None:
            state = "null" if key in document else "missing"
            keys = ", ".join(list(document)[:8]) or "nothing"
            hint = "; images alone, as published of a test set, are nothing to compare with"
            raise InputError(f"{where}: {key} is {state}; the file has {keys}{hint * (key == 'annotations')}")


def _with_own_catalog(document: Record, catalog: Catalog, where: str, by_name: bool) -> Found:
    """Results that bring images and categories of their own, with ids turned into the truth's.

    Images are matched by file name, and classes, where `by_name` says so, by name.
    """
    rows = document.get("annotations")
    scored = isinstance(rows, list) and rows and isinstance(rows[0], dict) and "score" in rows[0]
    if not scored:
        looks = "; it looks like annotations (truth)" if "annotations" in document else ""
        raise InputError(
            f'{where}: is an object{looks}; expected results: a list of {{"image_id", "category_id", "bbox", "score"}}'
        )
    found = read_found(records(rows, f"{where}: annotations"), f"{where}: annotations")
    image_ids, class_ids = found.image_ids, found.class_ids
    if document.get("images"):
        own = read_images(records(document["images"], f"{where}: images"), f"{where}: images")
        named = {i: name or i for i, name in zip(own.ids, own.file_names, strict=True)}
        image_ids = [named.get(identity, identity) for identity in plain(image_ids)]
    if by_name and document.get("categories"):
        place = f"{where}: categories"
        names = dict(zip(*read_classes(records(document["categories"], place), place), strict=True))
        known = dict(zip(catalog.classes, catalog.class_ids, strict=True))
        for identity in np.unique(class_ids).tolist():
            name = names.get(identity, "")
            if name not in known:
                mend = did_you_mean(name, known) or "; pass --class-map (class_map=...) to say which it is"
                raise InputError(f"{place}: category_id {identity}, {name!r}, is no class of the truth{mend}")
        class_ids = np.array([known[names[identity]] for identity in class_ids.tolist()], np.int64)
    return Found(image_ids, class_ids, found.xywh, found.score)


def _annotation_table(catalog: Catalog, objects: Objects, where: str) -> AnnotationTable:
    image = positions(objects.image_ids, catalog.image_ids)
    label = positions(objects.class_ids, catalog.class_ids)
    if len(image) and (image < 0).all():
        raise InputError(
            f"{where}: no annotation is on an image that the file lists: their image_id is like "
            f"{plain(objects.image_ids)[0]!r}, the images' ids like {list(catalog.image_ids[:3])}"
        )
    tell(where, image < 0, "annotations are on images that the file does not list; they are left out")
    tell(where, label < 0, "annotations are of categories that the file does not list; they are left out")
    crowd = np.nan_to_num(objects.crowd)
    tell(where, (crowd != 0) & (crowd != 1), "annotations have iscrowd neither 0 nor 1; they count as crowds")
    tell(
        where,
        (np.nan_to_num(objects.ignore) != 0) & (crowd == 0),
        "annotations have ignore set but not iscrowd; they count, as in the reference, which reads iscrowd alone",
    )
    square = objects.xywh[:, 2] * objects.xywh[:, 3]
    tell(where, np.isnan(objects.area), "annotations have no area; it is computed as w * h")
    area = np.where(np.isnan(objects.area), square, objects.area)
    tell(
        where,
        area > 1.01 * np.abs(square) + 1,
        "annotations have an area larger than their box; it is kept as it is",
    )
    ids = np.arange(1, len(area) + 1) if objects.object_ids is None else objects.object_ids
    twice = np.zeros(len(ids), np.bool_)
    twice[np.unique(ids, return_index=True)[1]] = True
    tell(where, ~twice, "annotations have an id that came before; each is an object of its own")
    kept = (image >= 0) & (label >= 0)
    rows = slice(None) if kept.all() else kept
    return AnnotationTable(
        catalog,
        image[rows],
        label[rows],
        objects.xywh[rows],
        area[rows],
        (crowd != 0)[rows],
        np.zeros(np.count_nonzero(kept), np.bool_),
        ids[rows],
    )


def _detection_table(
    catalog: Catalog, found: Found, where: str, class_map: ClassMap | None
) -> DetectionTable:
    label = find_classes(found.class_ids, catalog, where, class_map)
    image = find_images(found.image_ids, catalog, where)
    kept = label >= 0
    rows = slice(None) if kept.all() else kept
    return DetectionTable(catalog, image[rows], label[rows], found.xywh[rows], found.score[rows])
