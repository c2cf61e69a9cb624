"""Ultralytics' YOLO: raw predictions of YOLOv5 and of v8 to v12, and end-to-end detections of YOLOv10 and YOLO26.

Input ``images``: RGB in [0, 1], letterboxed in the centre on grey 114 (`LetterBox` in ``ultralytics/data/augment.py``). The
metadata have ``names``, a Python dictionary as text, and ``task``. Evaluation keeps every class of a box (multi-label NMS) with
a score above .001, at an IoU of .7 and 300 detections (``ultralytics/cfg/default.yaml``, ``engine/validator.py``); YOLOv5's
``val.py`` has an IoU of .6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from detectors.external.onnx_models.conventions.convention import (
    Convention,
    Found,
    cells,
    corners,
    input_size,
    named_classes,
)
from detectors.external.onnx_models.graph_file import Dimension, GraphFile


def _shape(graph: GraphFile) -> tuple[Dimension, ...]:
    """Shape of the only output of rank 3; empty otherwise, and for files of other tasks than detection."""
    if len(graph.outputs) != 1 or graph.metadata.get("task", "detect") != "detect":
        return ()
    shape = graph.outputs[0].shape or ()
    return shape if len(shape) == 3 else ()


def _is_end_to_end(graph: GraphFile) -> bool:
    """A few hundred rows; raw predictions of a single class are thousands, as many as the input has cells or anchors."""
    shape = _shape(graph)
    if not shape or shape[2] != 6 or (isinstance(shape[1], int) and shape[1] == cells(input_size(graph))):
        return False
    return not _is_yolov5(graph)


def _is_yolov5(graph: GraphFile) -> bool:
    """Three anchors per cell: for an input of known size their number tells it from YOLOX."""
    shape = _shape(graph)
    if not shape or not isinstance(shape[2], int) or shape[2] < 6:
        return False
    size = input_size(graph)
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        count = cells(size, strides)
        if count is not None and shape[1] == 3 * count:
            return True
    names = named_classes(graph)
    return names is not None and shape[2] == 5 + len(names) and not isinstance(shape[1], int)


def _is_yolov8(graph: GraphFile) -> bool:
    shape = _shape(graph)
    if not shape or not isinstance(shape[1], int) or shape[1] < 5:
        return False
    names = named_classes(graph)
    if names is not None:
        return shape[1] == 4 + len(names)
    return shape[2] == cells(input_size(graph)) or not isinstance(shape[2], int)


def _decode_yolov5(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    """(B, N, 5 + C): cxcywh in pixels, objectness and class scores, which are multiplied (``non_max_suppression``)."""
    (rows,) = outputs.values()
    return Found(corners(rows[..., :4]), rows[..., 4:5] * rows[..., 5:])


def _decode_yolov8(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    """(B, 4 + C, N): cxcywh in pixels, then class scores."""
    (columns,) = outputs.values()
    rows = columns.transpose(1, 2)
    return Found(corners(rows[..., :4]), rows[..., 4:].contiguous())


def _decode_end_to_end(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    """(B, 300, 6): xyxy in pixels, score, index of the class."""
    (rows,) = outputs.values()
    scores, labels = rows[..., 4], rows[..., 5].round().to(torch.int64)
    return Found(rows[..., :4], scores, torch.where(scores > 0, labels, -1))


def _classes(dimension: int, others: int) -> Callable[[GraphFile], int | None]:
    def count(graph: GraphFile) -> int | None:
        shape = _shape(graph)
        size = shape[dimension] if shape else None
        return size - others if isinstance(size, int) else None

    return count


def _common(nms: float | None) -> dict[str, Any]:
    return {
        "pixels": "unit",
        "resize": "letterbox",
        "fill": 114,
        "antialias": False,
        "nms": nms,
        "max_dets": 300,
        "names": named_classes,
    }


YOLOV5 = Convention(
    "yolov5",
    "ultralytics/yolov5: export.py, val.py, utils/general.py",
    _is_yolov5,
    _decode_yolov5,
    _classes(2, 5),
    **_common(0.6),
)
YOLOV8 = Convention(
    "yolov8",
    "ultralytics/ultralytics: engine/exporter.py, utils/nms.py, cfg/default.yaml",
    _is_yolov8,
    _decode_yolov8,
    _classes(1, 4),
    **_common(0.7),
)
END_TO_END = Convention(
    "end2end",
    "THU-MIG/yolov10; docs.ultralytics.com/guides/end2end-detection",
    _is_end_to_end,
    _decode_end_to_end,
    lambda graph: None,
    **_common(None),
)
