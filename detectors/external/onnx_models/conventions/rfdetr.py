"""RF-DETR: ``dets`` (B, Q, 4) and ``labels`` (B, Q, C), logits of every class of every query.

Facts from roboflow/rf-detr: ``rfdetr/deploy/export.py`` (names of outputs; stretched to the input, ImageNet's mean and deviation)
and `PostProcess` of LW-DETR, from which it is derived: scores are sigmoids, boxes cxcywh as fractions of the image's sides, and
the 300 best pairs of query and class are detections, without NMS.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from detectors.external.onnx_models.conventions.convention import (
    Convention,
    Found,
    corners,
    fits,
    scaled,
    shape_of,
)
from detectors.external.onnx_models.graph_file import GraphFile


def _matches(graph: GraphFile) -> bool:
    return fits(shape_of(graph, "dets"), None, None, 4) and len(shape_of(graph, "labels")) == 3


def _decode(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    return Found(scaled(corners(outputs["dets"]), size), outputs["labels"].sigmoid())


def _classes(graph: GraphFile) -> int | None:
    size = (shape_of(graph, "labels") or (None,))[-1]
    return size if isinstance(size, int) else None


RFDETR = Convention(
    "rfdetr",
    "roboflow/rf-detr: rfdetr/deploy/export.py",
    _matches,
    _decode,
    _classes,
    pixels="imagenet",
    resize="stretch",
    fill=0,
    antialias=True,
    nms=None,
    max_dets=300,
)
