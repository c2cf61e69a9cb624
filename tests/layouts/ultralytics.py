"""Ultralytics and YOLOv5: ``predictions.json`` of validation, and the text files of prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_data import Picture

from layouts.registry import Found, centre, detections, relative, write_json, write_lines, xywh


def _by_picture(found: Sequence[Found]) -> dict[str, list[Found]]:
    of: dict[str, list[Found]] = {}
    for each in found:
        of.setdefault(each.picture.name, []).append(each)
    return of


def _rows(found: Sequence[Found], first: int, named: bool) -> list[dict[str, Any]]:
    return [
        {
            "image_id": int(each.picture.name) if each.picture.name.isnumeric() else each.picture.name,
            **({"file_name": f"{each.picture.name}.png"} if named else {}),
            "category_id": each.label + first,
            "bbox": [round(v, 3) for v in xywh(each.box)],
            "score": round(each.score, 5),
        }
        for each in found
    ]


@detections("ultralytics_predictions_json", tolerance=1e-3)
def predictions(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of ``val(save_json=True)``, whose class ids count from 1."""
    return write_json(root / "predictions.json", _rows(found, 1, named=True))


@detections("yolov5_predictions_json", tolerance=1e-3)
def predictions_without_names(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of older versions, without ``file_name``."""
    return write_json(root / "best_predictions.json", _rows(found, 1, named=False))


@detections("ultralytics_labels", tolerance=1e-3)
def labels(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of ``predict(save_txt=True, save_conf=True)``; an image without detections has no file."""
    for name, of in _by_picture(found).items():
        lines = [(e.label, *(f"{v:.6g}" for v in centre(e.box, e.picture)), f"{e.score:.6g}") for e in of]
        write_lines(root / "predict" / "labels" / f"{name}.txt", lines)
    return root / "predict"


@detections("ultralytics_tracks", tolerance=1e-3)
def tracks(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of ``track``, with the number of the track after the score."""
    for name, of in _by_picture(found).items():
        lines = [
            (e.label, *(f"{v:.6g}" for v in centre(e.box, e.picture)), f"{e.score:.6g}", k + 1)
            for k, e in enumerate(of)
        ]
        write_lines(root / "labels" / f"{name}.txt", lines)
    return root / "labels"


@detections("ultralytics_segments", tolerance=1e-3)
def segments(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of a segmentation model: polygons of different length before the score."""
    for name, of in _by_picture(found).items():
        lines = []
        for k, e in enumerate(of):
            x0, y0, x1, y1 = relative(e.box, e.picture)
            middle = [(x0 + x1) / 2, y1] * (k % 2)
            points = [x0, y0, x1, y0, x1, y1, *middle, x0, y1]
            lines.append((e.label, *(f"{v:.6g}" for v in points), f"{e.score:.6g}"))
        write_lines(root / "labels" / f"{name}.txt", lines)
    return root / "labels"


@detections("ultralytics_obb", tolerance=1e-3)
def rotated(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of a model of rotated boxes: four corners before the score."""
    for name, of in _by_picture(found).items():
        lines = []
        for e in of:
            x0, y0, x1, y1 = relative(e.box, e.picture)
            lines.append((e.label, *(f"{v:.6g}" for v in (x1, y0, x1, y1, x0, y1, x0, y0)), f"{e.score:.6g}"))
        write_lines(root / "labels" / f"{name}.txt", lines)
    return root / "labels"


@detections("ultralytics_pose", tolerance=1e-3)
def pose(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Of a pose model: three keypoints with their confidence between box and score."""
    for name, of in _by_picture(found).items():
        lines = []
        for e in of:
            x, y, w, h = centre(e.box, e.picture)
            points = [v for k in (-1, 0, 1) for v in (x + k * w / 4, y + k * h / 4, 0.9)]
            lines.append((e.label, *(f"{v:.6g}" for v in (x, y, w, h, *points)), f"{e.score:.6g}"))
        write_lines(root / "labels" / f"{name}.txt", lines)
    return root / "labels"
