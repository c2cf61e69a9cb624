"""JSON with the detections of each image together, as libraries return them: one file, or a folder with one file per image.

The detections of an image are arrays (``boxes`` or ``bboxes`` of corners, ``scores``, ``labels``: torchvision, Transformers'
``post_process_object_detection``, MMDetection's ``preds``; ``detection_boxes``, y before x: TensorFlow's Object Detection API), or a list of objects with a ``box`` of corners (Transformers' pipeline,
Ultralytics' ``to_json``) or a centre (Roboflow's ``predictions``). In one file they are the values of an object whose keys are
images, or items of a list that name their image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.box_columns import COLUMN_NAMES
from metrics.formats.detection_rows import XYWH, DetectionLayout, DetectionRows
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import number
from metrics.formats.untrusted import read_head, read_json
from metrics.notes import Note, report
from metrics.tables import AnnotationTable, ImageId

_TENSORFLOW = "detection_boxes"
_ARRAYS = {
    "boxes": ("scores", "labels"),
    "bboxes": ("scores", "labels"),
    _TENSORFLOW: ("detection_scores", "detection_classes"),
}
"""Names of the scores and labels of boxes, by that of the boxes."""
_LARGEST_RELATIVE = 1.5
_IMAGE_KEYS = COLUMN_NAMES["image_id"]
_LISTS = ("predictions", "detections", "results")
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SCORES = ("score", "confidence")


def _is_ours(path: Path) -> bool:
    return bool(_files(path))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if _looks_so(path) else []
    for folder in (path, path / "preds", path / "predictions"):
        files = visible_files(folder, "*.json")
        if files and any(_looks_so(file) for file in files[:20]):
            return files
    return []


def _looks_so(file: Path) -> bool:
    head = read_head(file)
    if head[:1] not in (b"{", b"["):
        return False
    if b'"relative_coordinates"' in head or b'"annotations"' in head or b'"bounding_box"' in head:
        return False
    scored = b'"score"' in head or b'"confidence"' in head
    return (
        (b'"scores"' in head and (b'"boxes"' in head or b'"bboxes"' in head))
        or (b'"detection_boxes"' in head and b'"detection_scores"' in head)
        or (scored and b'"box"' in head)
        or (b'"predictions"' in head and b'"confidence"' in head)
    )


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    rows = DetectionRows(str(path))
    largest, tensorflow = 0.0, False
    for file in _files(path):
        document = read_json(file)
        for image, content, place in (
            [(file.stem, document, str(file))] if path.is_dir() else _images(document, file)
        ):
            content, place = _without_batch(content, place)
            tensorflow = tensorflow or (isinstance(content, dict) and _TENSORFLOW in content)
            for label, (x, y, w, h), score, at in _detections(content, place, rows):
                largest = max(largest, x + w, y + h)
                rows.add(image, label, (x, y, w, h), score, at)
    if tensorflow:
        rows.relative = largest <= _LARGEST_RELATIVE
        unit = "fractions of the image" if rows.relative else "pixels"
        text = f"{path}: {_TENSORFLOW} are read as y1, x1, y2, x2, {unit}"
        report(Note("guessed_layout", text, str(path), {"rows": len(rows)}))
    return rows


def _without_batch(content: Any, place: str) -> tuple[Any, str]:
    """The only item of a batch: of ``predictions`` as TensorFlow Serving returns them, or of arrays with a first axis of length 1."""
    inner = content.get("predictions") if isinstance(content, dict) else None
    if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict) and _TENSORFLOW in inner[0]:
        content, place = inner[0], f"{place}: predictions[0]"
    boxes = content.get(_TENSORFLOW) if isinstance(content, dict) else None
    while isinstance(boxes, list) and len(boxes) == 1 and isinstance(boxes[0], list):
        if boxes[0] and not isinstance(boxes[0][0], list):
            break
        content = {
            key: value[0] if key.startswith("detection_") and isinstance(value, list) and value else value
            for key, value in content.items()
        }
        boxes = content[_TENSORFLOW]
    return content, place


def _images(document: Any, file: Path) -> Iterator[tuple[ImageId, Any, str]]:
    if isinstance(document, list) and all(isinstance(item, dict) for item in document):
        for k, item in enumerate(document):
            key = next((key for key in _IMAGE_KEYS if isinstance(item.get(key), int | str)), None)
            if key is None:
                raise InputError(
                    f"{file}: [{k}]: names no image; add file_name to each item, or write one file per image, called like it"
                )
            yield item[key], item, f"{file}: [{k}]"
    elif isinstance(document, dict) and not {*_ARRAYS, *_LISTS} & set(document):
        for key, item in document.items():
            yield key, item, f"{file}: {key[:60]}"
    else:
        raise InputError(
            f"{file}: names no image; make it an object with a key for each image, or put one file per image, called like it, into "
            f"a folder and give the folder"
        )


def _detections(
    content: Any, place: str, rows: DetectionRows
) -> Iterator[tuple[int | str, XYWH, float, str]]:
    if isinstance(content, dict) and (name := next((name for name in _ARRAYS if name in content), None)):
        yield from _arrays(content, name, place, rows)
        return
    if isinstance(content, dict):
        place, content = next(
            ((f"{place}: {name}", content[name]) for name in _LISTS if name in content), (place, content)
        )
    if not isinstance(content, list):
        raise InputError(f"{place}: expected boxes, scores and labels, or a list of detections")
    for k, each in enumerate(content):
        yield (*_object(each, f"{place}[{k}]"), f"{place}[{k}]")


def _arrays(
    content: dict[str, Any], name: str, place: str, rows: DetectionRows
) -> Iterator[tuple[int | str, XYWH, float, str]]:
    score_name, label_name = _ARRAYS[name]
    columns = [content.get(key) for key in (name, score_name, label_name)]
    boxes, scores, labels = (column if isinstance(column, list) else None for column in columns)
    if boxes is None or scores is None or labels is None or not len(boxes) == len(scores) == len(labels):
        raise InputError(f"{place}: expected equally long lists {name}, {score_name} and {label_name}")
    if name == "bboxes" and boxes:
        rows.indices = True  # MMDetection
    if name == _TENSORFLOW:
        boxes = boxes[: _number_of_detections(content, len(boxes), place)]
    elif boxes and not len(rows):
        report(
            Note(
                "guessed_layout",
                f"{rows.where}: {name} are read as corners x1, y1, x2, y2 in pixels",
                rows.where,
            )
        )
    order = (1, 0, 3, 2) if name == _TENSORFLOW else (0, 1, 2, 3)
    for k, (box, score, label) in enumerate(zip(boxes, scores, labels, strict=False)):
        at = f"{place}: {name}[{k}]"
        if not isinstance(box, list) or len(box) != 4:
            shown = ", ".join(("x1", "y1", "x2", "y2")[axis] for axis in order)
            raise InputError(f"{at}: expected four numbers [{shown}]")
        yield (
            _label(label, f"{place}: {label_name}[{k}]"),
            _corners([box[axis] for axis in order], at),
            number(score, f"{place}: {score_name}[{k}]"),
            at,
        )


def _number_of_detections(content: dict[str, Any], count: int, place: str) -> int:
    """The number of detections, after which TensorFlow's arrays are filled with zeros; all where it is not written."""
    written = content.get("num_detections")
    if isinstance(written, list) and len(written) == 1:
        (written,) = written
    value = count if written is None else number(written, f"{place}: num_detections")
    if not 0 <= value <= count or value != int(value):
        raise InputError(f"{place}: num_detections {value:g}: expected a whole number of at most {count:,}")
    return int(value)


def _object(each: Any, place: str) -> tuple[int | str, XYWH, float]:
    if not isinstance(each, dict):
        raise InputError(f"{place}: expected a detection {{...}}")
    box = each.get("box", each)
    keys = next((keys for keys in _CORNERS if isinstance(box, dict) and set(keys) <= set(box)), None)
    if keys is not None:
        xywh = _corners([box[key] for key in keys], place)
    elif {"x", "y", "width", "height"} <= set(each):
        x, y, w, h = (number(each[key], f"{place}: {key}") for key in ("x", "y", "width", "height"))
        xywh = (x - w / 2, y - h / 2, w, h)
    else:
        raise InputError(
            f"{place}: has no box; expected box with xmin, ymin, xmax, ymax, or x, y, width, height"
        )
    score = next((each[key] for key in _SCORES if key in each), None)
    label = next(
        (each[key] for key in ("label", "name", "class", "class_name", "class_id") if key in each), None
    )
    return _label(label, f"{place}: label"), xywh, number(score, f"{place}: score")


def _corners(box: list[Any], place: str) -> XYWH:
    x1, y1, x2, y2 = (number(value, place) for value in box)
    if x2 < x1 or y2 < y1:
        raise InputError(f"{place}: {box}: the second corner is before the first; expected x1, y1, x2, y2")
    return x1, y1, x2 - x1, y2 - y1


def _label(value: Any, place: str) -> int | str:
    if isinstance(value, str) and value:
        return value
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if whole and not isinstance(value, bool):
        return int(value)
    raise InputError(f"{place}: expected a class id or name, got {str(value)[:40]!r}")


LAYOUT = DetectionLayout(
    name="per_image_json",
    summary="boxes, scores and labels of each image (torchvision, Transformers, MMDetection, Roboflow, TensorFlow)",
    source="pytorch.org/vision/stable/models.html; mmdetection.readthedocs.io",
    is_ours=_is_ours,
    read=_read,
)
