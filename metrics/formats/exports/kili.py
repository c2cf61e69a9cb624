"""Kili's JSON: assets with ``externalId`` and labels, whose ``jsonResponse`` has polygons by job, in a file for all or for each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
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
    without_partial_purposes,
)
from metrics.formats.json_members import object_in, objects_in
from metrics.formats.untrusted import read_head, read_json

_AREAS = ("rectangle", "polygon", "semantic")
_UNCHECKED = ("prediction", "inference", "autosave")
"""Types of labels that are not of a person who has finished."""
_BEST = ("default", "review")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("data.json", "*.json", "labels/*.json", "*/*.json"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"externalId"' in head and (b'"jsonResponse"' in head or b'"latestLabel"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    unlabeled: Counter[str] = Counter()
    images = []
    for file in files:
        document = read_json(file)
        assets = document if isinstance(document, list) else [document]
        purpose = file_purpose(file, root, files)
        for k, asset in enumerate(assets):
            images += _image(asset, f"{file}: [{k}]", purpose, left_out, unlabeled)
    report_left_out(unlabeled, str(root), ("asset has no label and is", "assets have no label and are"))
    report_left_out(
        left_out,
        str(root),
        ("annotation encloses no area and is", "annotations enclose no area and are"),
    )
    return without_partial_purposes(images)


def _image(
    asset: Any, where: str, purpose: str | None, left_out: Counter[str], unlabeled: Counter[str]
) -> list[ImageAnnotation]:
    """The image of an asset; none of one without label."""
    name = asset.get("externalId") if isinstance(asset, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: has no externalId")
    label = _label(asset, where)
    if not label:
        unlabeled["without label"] += 1
        return []
    response = label.get("jsonResponse")
    if isinstance(response, str):
        response = _parsed(response, f"{where}: jsonResponse")
    if not isinstance(response, dict):
        raise InputError(f"{where}: jsonResponse: expected an object of jobs")
    size = object_in(asset, "resolution", where)
    height, width = (int(number(size.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    boxes = []
    relative = True
    for place, each in _annotations(response, where, left_out):
        box, in_pixels = _box(each, place, left_out)
        relative = relative and not in_pixels
        boxes += [box] if box else []
    stem = "" if PurePosixPath(name).suffix else name
    image = ImageAnnotation("" if stem else name, tuple(boxes), (height, width), purpose, stem, relative)
    return [image.in_pixels_of((height, width))]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: invalid JSON: {error}") from error


def _label(asset: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The label that counts: the last one that was reviewed, or else the last that a person has finished."""
    if asset.get("latestLabel"):
        return object_in(asset, "latestLabel", where)
    labels = [
        each
        for each in objects_in(asset, "labels", where)
        if str(each.get("labelType") or "default").lower() not in _UNCHECKED
    ]
    order = {name: k for k, name in enumerate(_BEST)}
    return max(
        labels,
        key=lambda each: (
            order.get(str(each.get("labelType") or "default").lower(), 0),
            str(each.get("createdAt") or ""),
        ),
        default={},
    )


def _annotations(
    response: Mapping[str, Any], where: str, left_out: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The annotations of all jobs. Frames of a video are numbers in place of names of jobs."""
    for job in response:
        if job.isdecimal():
            left_out["frame of a video"] += 1
            continue
        of = response[job]
        if not isinstance(of, dict) or not of:
            raise InputError(f"{where}: {job[:40]}: has no annotations")
        if "annotations" in of:  # others are classes or texts
            for k, each in enumerate(objects_in(of, "annotations", f"{where}: {job[:40]}")):
                yield f"{where}: {job[:40]}: annotations[{k}]", each


def _box(each: Mapping[str, Any], where: str, left_out: Counter[str]) -> tuple[Box | None, bool]:
    """The box around an annotation, and whether it is in pixels; otherwise in fractions of the image."""
    kind = str(each.get("type"))[:40]
    rings = objects_in(each, "boundingPoly", where)
    if kind not in _AREAS or not rings:
        left_out[kind] += 1
        return None, False
    labels = [row.get("name") for row in objects_in(each, "categories", where)]
    if not labels or not isinstance(labels[0], str):
        raise InputError(f"{where}: categories: has no name")
    in_pixels = not rings[0].get("normalizedVertices")
    points = objects_in(rings[0], "vertices" if in_pixels else "normalizedVertices", where)
    if len(points) < 3:
        raise InputError(f"{where}: boundingPoly: expected at least three points")
    corners = bounding_corners([(number(p.get("x"), where), number(p.get("y"), where)) for p in points])
    return Box(labels[0], corners), in_pixels


EXPORT = Export(
    name="kili",
    summary="Kili: JSON of assets, in one file or one for each",
    source="docs.kili-technology.com (kili format)",
    looks_for="JSON files with externalId and jsonResponse",
    files=_files,
    read=_read,
    images=("images", ""),
    per_image=True,
)
