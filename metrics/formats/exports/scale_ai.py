"""Scale AI: tasks of image annotation, as a JSON list or a JSON object per line, with boxes in ``response``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.untrusted import read_head, read_json, read_json_lines

_LISTS = ("docs", "tasks")
"""Keys of the list of tasks in an answer of the service."""


def _files(path: Path) -> list[Path]:
    return find_files(path, "", ("*.json", "*.jsonl", "*/*.json", "*/*.jsonl"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return head[:1] in (b"{", b"[") and b'"task_id"' in head and b'"attachment"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = [
        image
        for file in files
        for where, task in _tasks(file)
        if (image := _image(task, where, file_purpose(file, root, files), left_out)) is not None
    ]
    if not images:
        raise InputError(f"{root}: no task has a response: export the tasks when they are completed")
    report_left_out(left_out, str(root))
    return images


def _tasks(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix.lower() == ".jsonl":
        yield from read_json_lines(file)
        return
    document = read_json(file)
    if isinstance(document, dict):
        key = next((key for key in _LISTS if isinstance(document.get(key), list)), None)
        document = document[key] if key else [document]
    if not isinstance(document, list):
        raise InputError(f"{file}: expected a list of tasks")
    yield from ((f"{file}: [{k}]", task) for k, task in enumerate(document))


def _image(task: Any, where: str, purpose: str | None, left_out: Counter[str]) -> ImageAnnotation | None:
    if not isinstance(task, dict):
        raise InputError(f"{where}: expected a task {{...}}")
    name = object_in(task, "params", where).get("attachment") or task.get("attachment")
    if not isinstance(name, str):
        raise InputError(f"{where}: has no attachment; expected the path or URL of the image")
    response = object_in(task, "response", where)
    if "annotations" not in response:
        left_out["tasks without response"] += 1
        return None
    boxes = [
        box
        for k, each in enumerate(objects_in(response, "annotations", where))
        if (box := _box(each, f"{where}: annotations[{k}]", left_out)) is not None
    ]
    return ImageAnnotation(name, tuple(boxes), purpose=purpose)


def _box(each: dict[str, Any], where: str, left_out: Counter[str]) -> Box | None:
    label = text_in(each, "label", where)
    sides = ("left", "top", "width", "height")
    if set(sides) <= set(each):
        x, y, w, h = (number(each[key], f"{where}: {key}") for key in sides)
        return Box(label, (x, y, x + w, y + h))
    kind = str(each.get("type") or each.get("geometry") or "shape")[:40]
    points = [
        (number(point.get("x"), f"{where}: x"), number(point.get("y"), f"{where}: y"))
        for point in objects_in(each, "vertices", where)
    ]
    if kind in ("line", "point") or len(points) < 3:
        left_out[f"{kind} annotations"] += 1
        return None
    return Box(label, bounding_corners(points))


EXPORT = Export(
    name="scale_ai",
    summary="Scale AI: tasks of image annotation with their responses",
    source="scale.com/docs/api-reference/image-and-video-reference",
    looks_for="JSON with tasks that have task_id, attachment and response",
    files=_files,
    read=_read,
    images=("", "images"),
)
