"""Segments.ai: a release with ``dataset``, whose ``samples`` have labels by label set, and ``task_attributes`` with categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    bounding_corners,
    file_purpose,
    find_files,
    number,
    report_left_out,
)
from metrics.formats.json_members import object_in, objects_in, points_in, text_in
from metrics.formats.untrusted import contains_all, read_json
from metrics.plurals import plural

_LABEL_SET = "ground-truth"
_UNLABELED = ("unlabeled", "prelabeled", "skipped", "rejected")
"""States of labels that nobody has finished."""
_AREAS = {"bbox": 2, "polygon": 3}


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    return contains_all(file, (b'"dataset"', b'"samples"', b'"task_attributes"', b'"labels"'))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    unlabeled: Counter[str] = Counter()
    images = [
        image
        for file in files
        for image in _images(file, file_purpose(file, root, files), left_out, unlabeled)
    ]
    report_left_out(
        unlabeled,
        str(root),
        ("sample has no finished label and is", "samples have no finished label and are"),
    )
    if left_out["mask"] and not any(image.boxes for image in images):
        raise InputError(
            f"{root}: the release has masks as images on a server, and no boxes: export it as COCO "
            f"(segments.utils.export_dataset, export_format='coco-instance')"
        )
    report_left_out(
        left_out,
        str(root),
        ("annotation is not a box or polygon and is", "annotations are not boxes or polygons and are"),
    )
    return images


def _images(
    file: Path, purpose: str | None, left_out: Counter[str], unlabeled: Counter[str]
) -> list[ImageAnnotation]:
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{file}: expected an object with dataset")
    where = f"{file}: dataset"
    dataset = object_in(document, "dataset", str(file))
    rows = objects_in(object_in(dataset, "task_attributes", where), "categories", f"{where}: task_attributes")
    names = {str(row.get("id")): str(row.get("name") or row.get("id")) for row in rows}
    images = []
    for k, sample in enumerate(objects_in(dataset, "samples", where)):
        place = f"{where}: samples[{k}]"
        name = text_in(sample, "name", place)
        label = _label(sample, place)
        state = str(label.get("label_status") or "").lower()
        if not label or state in _UNLABELED:
            unlabeled[state or "without label"] += 1
            continue
        of = objects_in(object_in(label, "attributes", place), "annotations", place)
        boxes = [
            box
            for i, each in enumerate(of)
            if (box := _box(each, names, f"{place}: annotations[{i}]", left_out))
        ]
        images.append(ImageAnnotation(name, tuple(boxes), purpose=purpose))
    return images


def _label(sample: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The label of a sample: that of the label set for ground truth, or else of the first one that has any."""
    labels = object_in(sample, "labels", where)
    key = _LABEL_SET if labels.get(_LABEL_SET) else next((key for key in labels if labels[key]), _LABEL_SET)
    return object_in(labels, key, f"{where}: labels")


def _box(each: Mapping[str, Any], names: Mapping[str, str], where: str, left_out: Counter[str]) -> Box | None:
    category = str(each.get("category_id"))
    if category not in names:
        raise InputError(f"{where}: category_id {category[:40]!r} is not in task_attributes: categories")
    kind = str(each.get("type") or "mask")[:40]
    if kind not in _AREAS:
        left_out[kind] += 1
        return None
    points = [(number(x, where), number(y, where)) for x, y in points_in(each, "points", where)]
    if len(points) < _AREAS[kind]:
        raise InputError(f"{where}: points: expected at least {plural(_AREAS[kind], 'point')} of a {kind}")
    return Box(names[category], bounding_corners(points))


EXPORT = Export(
    name="segments_ai",
    summary="Segments.ai: the JSON file of a release",
    source="docs.segments.ai/guides/export",
    looks_for="a JSON file with dataset, samples and task_attributes",
    files=_files,
    read=_read,
    images=("", "images"),
)
