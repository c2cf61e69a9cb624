"""Label Studio's own JSON and JSON-MIN: a list of tasks with regions in percent of the image's sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    ellipse_corners,
    find_files,
    number,
    report_left_out,
    rotated_corners,
)
from metrics.formats.json_members import list_in, object_in, points_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_bytes, read_json

_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels", "labels")
_OF_TASK = frozenset(("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"))
"""Keys of a task in JSON-MIN that describe the annotation, not the image."""

_MARKS = (b'"rectanglelabels"', b'"polygonlabels"', b'"ellipselabels"')


def _files(path: Path) -> list[Path]:
    return find_files(path, ".json", ("*.json", "*/*.json"), is_label_studio)


def is_label_studio(file: Path) -> bool:
    """Whether a file is a JSON list with regions of Label Studio; it is not parsed."""
    if file.suffix.lower() == ".gz":
        text = read_bytes(file)
        return text[:64].lstrip().startswith(b"[") and any(mark in text for mark in _MARKS)
    with file.open("rb") as opened:
        if not opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            return False
        opened.seek(0)
        last = b""
        while block := opened.read(1 << 20):
            if any(mark in last + block for mark in _MARKS):
                return True
            last = block[-32:]
    return False


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images = []
    for file in files:
        purpose = parse_purpose(file.stem) if len(files) > 1 else None
        tasks = read_json(file)
        for k, task in enumerate(tasks):
            if not isinstance(task, dict):
                raise InputError(f"{file}: [{k}]: expected a task {{...}}")
            image = read_task(task, f"{file}: [{k}]", left_out, purpose)
            images += [image] if image is not None else []
    if not images:
        raise InputError(
            f"{root}: no task has an annotation that was submitted; predictions are not ground truth"
        )
    report_left_out(left_out, str(root))
    return images


def read_task(
    task: dict[str, Any], where: str, left_out: Counter[str], purpose: str | None
) -> ImageAnnotation | None:
    """The image of a task with its boxes; None for a task that nobody has annotated.

    Args:
        task: as in JSON or JSON-MIN.
        where: the task, for messages.
        left_out: gets the numbers of what is left out, by kind.
        purpose: split of the image.
    """
    regions = _regions(task, where, left_out)
    return None if regions is None else _image(task, regions, where, left_out, purpose)


def _regions(task: dict[str, Any], where: str, left_out: Counter[str]) -> list[dict[str, Any]] | None:
    """The regions of a task; None for a task that nobody has annotated."""
    if (
        "annotations" not in task and "completions" not in task
    ):  # JSON-MIN: a list under the name of the control
        lists = [value for value in task.values() if isinstance(value, list) and _are_regions(value)]
        return [{**region, "value": region} for value in lists for region in value]
    annotations = list_in(task, "annotations" if "annotations" in task else "completions", where)
    finished = [each for each in annotations if isinstance(each, dict) and not each.get("was_cancelled")]
    if not finished:
        left_out["tasks without annotation"] += 1
        return None
    if len(finished) > 1:
        left_out["annotations after the first of a task, which is used"] += len(finished) - 1
    return [region for region in list_in(finished[0], "result", where) if isinstance(region, dict)]


def _are_regions(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) and set(_KINDS) & set(value) for value in values)


def _image(
    task: dict[str, Any],
    regions: list[dict[str, Any]],
    where: str,
    left_out: Counter[str],
    purpose: str | None,
) -> ImageAnnotation:
    name = image_name(task, where)
    boxes = []
    size = (0, 0)
    for k, region in enumerate(regions):
        place = f"{where}: region {k}"
        size = region_size(region, place) or size
        read = read_region(region, region_size(region, place), place, left_out)
        if read is not None:
            boxes += [Box(label, read.corners) for label in read.labels]
    return ImageAnnotation(name, tuple(boxes), size, purpose)


def image_name(task: dict[str, Any], where: str) -> str:
    """The path or URL of a task's image."""
    data = object_in(task, "data", where) or task
    values = [value for key, value in data.items() if key not in _OF_TASK]
    name = data.get("image") or next(
        (v for v in values if isinstance(v, str) and ("/" in v or "." in v) and " " not in v[:1]), None
    )
    if not isinstance(name, str):
        raise InputError(f"{where}: has no image; expected its path or URL in data.image")
    return name


@dataclass(frozen=True, slots=True)
class Region:
    """The classes of a region, and its corners xyxy in pixels."""

    labels: tuple[str, ...]
    corners: Corners


def region_size(region: dict[str, Any], where: str) -> tuple[int, int] | None:
    """(height, width) of the image of a region; None where it is not written."""
    height, width = (region.get(f"original_{side}") for side in ("height", "width"))
    return (int(number(height, where)), int(number(width, where))) if height and width else None


def read_region(
    region: dict[str, Any], size: tuple[int, int] | None, where: str, left_out: Counter[str]
) -> Region | None:
    """The classes and the box of a region; None where it has no class or no area, which is counted.

    Args:
        region: a result of an annotation or a prediction.
        size: (height, width) of the image; None if unknown.
        where: the region, for messages.
        left_out: gets the numbers of what is left out, by kind.
    """
    value = region.get("value")
    if not isinstance(value, dict) or not (kind := next((each for each in _KINDS if value.get(each)), "")):
        left_out["regions without a class"] += 1
        return None
    if size is None:
        raise InputError(f"{where}: has no original_width and original_height; export it again as JSON")
    corners = _corners(value, size, where)
    if corners is None:
        left_out[kind.removesuffix("labels") + " regions"] += 1
        return None
    labels = value[kind] if isinstance(value[kind], list) else [value[kind]]
    return Region(tuple(map(str, labels)), corners)


def _corners(value: dict[str, Any], size: tuple[int, int], where: str) -> Corners | None:
    """Corners in pixels of a rectangle, ellipse or polygon."""
    x_unit, y_unit = size[1] / 100, size[0] / 100
    degrees = number(value.get("rotation") or 0, f"{where}: rotation")
    if "points" in value:
        points = [
            (number(x, where) * x_unit, number(y, where) * y_unit)
            for x, y in points_in(value, "points", where)
        ]
        return bounding_corners(points) if len(points) > 2 else None
    if "radiusX" in value:
        x, y, a, b = (number(value.get(key), f"{where}: {key}") for key in ("x", "y", "radiusX", "radiusY"))
        return ellipse_corners((x * x_unit, y * y_unit), (a * x_unit, b * y_unit), degrees)
    if not {"x", "y", "width", "height"} <= set(value):
        return None
    x, y, w, h = (number(value[key], where) for key in ("x", "y", "width", "height"))
    x, y, w, h = x * x_unit, y * y_unit, w * x_unit, h * y_unit
    # turned about the upper left corner
    return rotated_corners((x, y, x + w, y + h), (x, y), degrees)


EXPORT = Export(
    name="label_studio",
    summary="Label Studio's JSON or JSON-MIN: tasks with regions",
    source="labelstud.io/guide/export",
    looks_for="a JSON list of tasks with rectanglelabels, polygonlabels or ellipselabels",
    files=_files,
    read=_read,
    images=("images", "upload", ""),
)
