"""COCO files: annotations (``instances_*.json``) and results, to and from tables.

Fields are interpreted as by pycocotools, the reference; what it ignores silently is reported as an `InputWarning` with
the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.atomic_files import atomic_write
from metrics.errors import InputError
from metrics.formats.coco_columns import (
    VERIFIED_CLASSES,
    Classes,
    Images,
    Objects,
    Results,
    ids_like_images,
    read_classes,
    read_images,
    read_objects,
    read_results,
)
from metrics.formats.coco_scan import scan_results, scan_truth
from metrics.formats.coco_spelling import with_ids_of_results, with_score
from metrics.formats.detections import table_of
from metrics.formats.identity import (
    ClassMap,
    ImageIdMeaning,
    match_names,
    positions,
    to_python,
)
from metrics.formats.plausibility import check_annotations, warn_repeated_ids, warn_rows
from metrics.formats.records import Record, records
from metrics.formats.scored_truth import warn_scores
from metrics.formats.untrusted import parse_json, read_bytes, read_head, read_json_lines
from metrics.notes import Note, report
from metrics.tables import AnnotationTable, Catalog, DetectionTable, ImageId


def read_truth(path: str | Path) -> AnnotationTable:
    """Read the annotations of a COCO file, in the order of the file; images and classes are sorted by id.

    ``bbox`` and ``category_id`` are read; masks and keypoints are ignored. ``iscrowd`` is a flag (missing: 0; any other
    value is a crowd), ``area`` is the size of the object as annotated (missing: w * h), ``ignore`` is not read, as in
    pycocotools. Custom keys of images that group them (``video_id``, ``patient``) become ``catalog.image_columns``; the
    verified classes of LVIS (``neg_category_ids``, ``not_exhaustive_category_ids``) become ``catalog.image_classes``.
    Annotations on images or of categories that the file does not list are left out, with a warning. Image ids are
    integers or, for all images, strings.

    Args:
        path: a JSON file in UTF-8, plain or gzip.

    Raises:
        InputError: another kind of file, or an invalid value; the message has its location and ids.
    """
    where = str(path)
    data = read_bytes(path)
    images, categories, objects = scan_truth(data, where) or _parse_truth(data, where)
    del data
    objects = ids_like_images(images, objects, where)
    categories = _without_root(categories, objects, where)
    order = sorted(range(len(images.ids)), key=images.ids.__getitem__)
    catalog = Catalog.of(
        [images.ids[i] for i in order],
        categories.names,
        images.sizes[order],
        [images.file_names[i] for i in order],
        categories.ids,
        {key: [column[i] for i in order] for key, column in images.columns.items()},
    )
    if images.classes or categories.columns:
        verified = {name: tuple(lists[i] for i in order) for name, lists in images.classes.items()}
        catalog = replace(catalog, image_classes=verified, class_columns=categories.columns)
    table = _annotation_table(catalog, objects, f"{where}: annotations")
    check_annotations(table, f"{where}: annotations")
    return table


def read_detections(
    path: str | Path,
    truth: AnnotationTable,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
) -> DetectionTable:
    """Read the detections of a COCO results file, in the order of the file.

    A results file is a list of ``{"image_id", "category_id", "bbox": [x, y, w, h], "score"}``; further fields are
    ignored, as in pycocotools. In a file with its own images and categories (a dict like that of annotations, each with
    a score) images are identified by file name and classes by name. A ``file_name`` of each result, as Ultralytics writes it,
    identifies its image where it contradicts the id.

    Args:
        path: a JSON file in UTF-8, plain or gzip.
        truth: ground truth of the same data set.
        class_map: from class ids of the results to those of the ground truth; see `metrics.formats.identity`.
        image_ids: what integers in ``image_id`` are.

    Raises:
        InputError: another kind of file, an image or class that the ground truth does not have, or an invalid value.
    """
    where = str(path)
    results = (None if _names_files(Path(path)) else scan_results(Path(path))) or _parse_results(
        path, truth.catalog, class_map
    )
    return table_of(results, truth, where, class_map, image_ids)


def write_truth(table: AnnotationTable, path: str | Path) -> None:
    """Write annotations as a COCO file, atomically; see `truth_json`."""
    atomic_write(path, truth_json(table))


def truth_json(table: AnnotationTable) -> bytes:
    """Annotations as the JSON text of a COCO file; numbers read back as the same doubles.

    Ignored objects get ``"ignore": 1``, which pycocotools does not read: COCO has no such objects.
    """
    import orjson

    catalog = table.catalog
    ids: Sequence[ImageId] = catalog.image_ids
    images = [
        {"id": identity, "file_name": name, "width": width, "height": height}
        | {key: column[index] for key, column in catalog.image_columns.items()}
        | {
            key: list(catalog.image_classes[name][index])
            for key, name in VERIFIED_CLASSES.items()
            if name in catalog.image_classes
        }
        for index, (identity, name, (height, width)) in enumerate(
            zip(ids, catalog.file_names, catalog.sizes.tolist(), strict=True)
        )
    ]
    categories = [
        {"id": identity, "name": name} | {key: column[label] for key, column in catalog.class_columns.items()}
        for label, (identity, name) in enumerate(zip(catalog.class_ids, catalog.classes, strict=True))
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
    return orjson.dumps({"images": images, "annotations": annotations, "categories": categories})


def write_detections(table: DetectionTable, path: str | Path) -> None:
    """Write detections as a COCO results file, atomically; numbers read back as the same doubles."""
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
    atomic_write(path, orjson.dumps(results))


def _without_root(classes: Classes, objects: Objects, where: str) -> Classes:
    """The classes; a category above all others that has no objects is none of them."""
    if classes.root is None or (objects.class_ids == classes.root).any():
        return classes
    row = classes.ids.index(classes.root)
    text = f"{where}: category {classes.root} {classes.names[row]!r} is above all others and has no objects: it is not read as a class"
    report(Note("root_category", text, classes.names[row], {"category_id": classes.root}))
    columns = {key: column[:row] + column[row + 1 :] for key, column in classes.columns.items()}
    return Classes(
        classes.ids[:row] + classes.ids[row + 1 :],
        classes.names[:row] + classes.names[row + 1 :],
        columns=columns,
    )


def _parse_truth(data: bytes, where: str) -> tuple[Images, Classes, Objects]:
    document = parse_json(data, where)
    _check_truth(document, where)
    images, categories, annotations = (
        records(document[key], f"{where}: {key}") for key in ("images", "categories", "annotations")
    )
    if any("segments_info" in row for row in annotations[:1]):
        raise InputError(
            f"{where}: is of panoptic segmentation: its annotations are the segments of an image, not objects; give the file of instances "
            f"(instances_*.json), or convert it with panoptic2detection_coco_format.py of panopticapi"
        )
    read = read_images(images, f"{where}: images")
    classes = read_classes(categories, f"{where}: categories")
    return read, classes, read_objects(annotations, f"{where}: annotations", classes)


def _names_files(path: Path) -> bool:
    """Whether the first result has the name of its image's file, as Ultralytics writes it."""
    return b'"file_name"' in read_head(path, 4096).partition(b"}")[0]


def _parse_results(path: str | Path, catalog: Catalog, class_map: ClassMap | None) -> Results:
    where = str(path)
    if Path(path).name.removesuffix(".gz").endswith(".jsonl"):
        rows: Any = [row for _, row in read_json_lines(Path(path))]
        return _read_list(rows, catalog, class_map, where)
    document = parse_json(read_bytes(path), where)
    name = next((name for name in _RESULTS if isinstance(document, dict) and name in document), None)
    if name is not None and "annotations" not in document:
        return _read_list(document[name], catalog, class_map, f"{where}: {name}")
    if isinstance(document, dict):
        return _map_own_ids(document, catalog, where, by_name=class_map is None)
    return _read_list(document, catalog, class_map, where)


def _read_list(rows: Any, catalog: Catalog, class_map: ClassMap | None, where: str) -> Results:
    scored = with_score(records(rows, where), where)
    identified, by_name = with_ids_of_results(scored, catalog, class_map, where)
    results = read_results(identified, where)
    return replace(results, mapped=True) if by_name else results


def _check_truth(document: Any, where: str) -> None:
    if isinstance(document, list):
        first = document[0] if document else None
        hint = "; it looks like results (detections)" if isinstance(first, dict) and "score" in first else ""
        raise InputError(
            f"{where}: is a list{hint}; expected annotations: an object with images, annotations and categories"
        )
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if document.get(key) is None:
            state = "null" if key in document else "missing"
            keys = ", ".join(list(document)[:8]) or "no keys"
            hint = "; a list of images without annotations, as published for test sets, cannot be evaluated"
            raise InputError(f"{where}: {key} is {state}; the file has {keys}{hint * (key == 'annotations')}")


_RESULTS = ("results", "predictions", "detections")
"""Keys under which programs wrap a list of results."""


def _map_own_ids(document: Record, catalog: Catalog, where: str, by_name: bool) -> Results:
    """Results with their own images and categories, their ids mapped to those of the ground truth.

    Images are identified by file name, and classes by name if `by_name`.
    """
    rows = document.get("annotations")
    scored = isinstance(rows, list) and rows and isinstance(rows[0], dict) and "score" in rows[0]
    if not scored:
        hint = "; it looks like annotations (ground truth)" if "annotations" in document else ""
        raise InputError(
            f'{where}: is an object{hint}; expected results: a list of {{"image_id", "category_id", "bbox", "score"}}'
        )
    results = read_results(records(rows, f"{where}: annotations"), f"{where}: annotations")
    image_ids, class_ids = results.image_ids, results.class_ids
    if document.get("images"):
        own = read_images(records(document["images"], f"{where}: images"), f"{where}: images")
        file_names = {i: name or i for i, name in zip(own.ids, own.file_names, strict=True)}
        image_ids = [file_names.get(identity, identity) for identity in to_python(image_ids)]
    if by_name and document.get("categories"):
        location = f"{where}: categories"
        classes = read_classes(records(document["categories"], location), location)
        names = dict(zip(classes.ids, classes.names, strict=True))
        used = np.unique(class_ids).tolist()
        labels = match_names({identity: names.get(identity, "") for identity in used}, catalog, location)
        mapped = np.array([catalog.class_ids[labels[identity]] for identity in used], np.int64)
        class_ids = mapped[np.searchsorted(used, class_ids)] if used else class_ids
    return replace(results, image_ids=image_ids, class_ids=class_ids, file_names=None)


def _repeated(
    ids: NDArray[np.int64],
    image: NDArray[np.int32],
    label: NDArray[np.int32],
    objects: Objects,
    where: str,
) -> NDArray[np.bool_]:
    """(N,) whether an earlier annotation with the same id is the same object; others with its id are objects of their own."""
    first = warn_repeated_ids(
        where,
        ids,
        "annotations",
        "of copies with the same image, class and box the first is used; others are separate objects",
    )
    repeated = np.zeros(len(ids), np.bool_)
    if first.all():
        return repeated
    known: set[tuple[object, ...]] = set()
    affected = np.flatnonzero(np.isin(ids, ids[~first]))
    for row in affected.tolist():
        key = (int(ids[row]), int(image[row]), int(label[row]), *objects.xywh[row].tolist())
        repeated[row] = key in known
        known.add(key)
    return repeated


def _shift(objects: Objects, catalog: Catalog) -> str:
    """What is probably wrong where annotations have ids that categories lack, as a clause."""
    if not catalog.class_ids:
        return ": add them to categories"
    used = np.unique(objects.class_ids)
    for shift in (-1, 1):
        if np.isin(used + shift, catalog.class_ids).all():
            ids = f"{used.min()} .. {used.max()}, those of categories {min(catalog.class_ids)} .. {max(catalog.class_ids)}"
            return f": category ids of annotations are {ids}; if one of them counts from 1 and the other from 0, all classes are wrong"
    return ""


def _annotation_table(catalog: Catalog, objects: Objects, where: str) -> AnnotationTable:
    image = positions(objects.image_ids, catalog.image_ids)
    label = positions(objects.class_ids, catalog.class_ids)
    if len(image) and (image < 0).all():
        raise InputError(
            f"{where}: all annotations are on images that the file does not list: their image_id is like "
            f"{to_python(objects.image_ids)[0]!r}, the ids of images are like {list(catalog.image_ids[:3])}"
        )
    warn_rows(where, image < 0, "annotations are on images that the file does not list; they are left out")
    unlisted = label < 0
    hint = _shift(objects, catalog) if unlisted.any() else ""
    warn_rows(
        where, unlisted, f"annotations are of categories that the file does not list{hint}; they are left out"
    )
    crowd = np.nan_to_num(objects.crowd)
    warn_rows(
        where,
        (crowd != 0) & (crowd != 1),
        "annotations have an iscrowd other than 0 or 1; they are read as crowds",
    )
    warn_rows(
        where,
        (np.nan_to_num(objects.ignore) != 0) & (crowd == 0),
        "annotations have ignore set but not iscrowd; they count, as in pycocotools, which reads only iscrowd",
    )
    box_area = objects.xywh[:, 2] * objects.xywh[:, 3]
    warn_rows(where, np.isnan(objects.area), "annotations have no area; w * h is used")
    area = np.where(np.isnan(objects.area), box_area, objects.area)
    warn_rows(
        where,
        area > 1.01 * np.abs(box_area) + 1,
        "annotations have an area larger than their box; it is used as it is",
    )
    warn_scores(objects.score, where)
    ids = np.arange(1, len(area) + 1) if objects.object_ids is None else objects.object_ids
    kept = (image >= 0) & (label >= 0) & ~_repeated(ids, image, label, objects, where)
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
