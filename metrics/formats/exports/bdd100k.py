"""BDD100K and Scalabel: a JSON list of frames with ``box2d``, or an object with ``frames``.

The first release of BDD100K has a file per image, whose one frame has ``objects``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    number,
    report_left_out,
)
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_head, read_json


def _files(path: Path) -> list[Path]:
    patterns = ("*.json", "labels/*.json", "labels/*/*.json", "labels/*/*/*.json", "*/*.json")
    return find_files(path, ".json", patterns, _is_bdd)


def _is_bdd(file: Path) -> bool:
    head = read_head(file)
    named = b'"name"' in head and (b'"labels"' in head or (b'"frames"' in head and b'"objects"' in head))
    return named and (b'"box2d"' in head or b'"poly2d"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        document = read_json(file)
        frames = document.get("frames") if isinstance(document, dict) else document
        if not isinstance(frames, list):
            raise InputError(f"{file}: expected a list of frames, or an object with frames")
        if isinstance(document, dict) and frames and isinstance(frames[0], dict) and "objects" in frames[0]:
            first = {"name": f"{document.get('name') or file.stem}.jpg", "labels": frames[0]["objects"]}
            images.append(_image(first, str(file), purpose, left_out))
            continue
        images += [_image(frame, f"{file}: [{k}]", purpose, left_out) for k, frame in enumerate(frames)]
    report_left_out(left_out, str(root), ("label has no box2d and is", "labels have no box2d and are"))
    return images


def _image(frame: Any, where: str, purpose: str | None, left_out: Counter[str]) -> ImageAnnotation:
    if not isinstance(frame, dict) or not isinstance(frame.get("name"), str):
        raise InputError(f"{where}: has no name; expected the file name of the image")
    boxes = []
    for k, label in enumerate(objects_in(frame, "labels", where)):
        box = label.get("box2d")
        if not isinstance(box, dict):
            left_out[str(label.get("category"))[:40]] += 1
            continue
        place = f"{where}: labels[{k}]"
        category = text_in(label, "category", place)
        x1, y1, x2, y2 = (number(box.get(key), place) for key in ("x1", "y1", "x2", "y2"))
        attributes = object_in(label, "attributes", place)
        boxes.append(
            Box(
                category,
                (x1, y1, x2, y2),
                ignored=bool(attributes.get("ignored")),
                crowd=bool(attributes.get("crowd")),
                score=score_in(label),
            )
        )
    size = object_in(frame, "size", where)
    height, width = (int(number(size.get(key) or 0, where)) for key in ("height", "width"))
    return ImageAnnotation(frame["name"], tuple(boxes), (height, width), purpose)


EXPORT = Export(
    name="bdd100k",
    summary="BDD100K and Scalabel: frames with box2d",
    source="Yu et al. 2020, arXiv:1805.04687; doc.scalabel.ai/format",
    looks_for="a JSON list of frames with labels and box2d",
    files=_files,
    read=_read,
    images=("images", "images/100k/train", "images/100k/val", "train", "val", ""),
    per_image=True,
)
