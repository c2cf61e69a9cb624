"""Torchvision's detectors: ``boxes`` (N, 4), ``labels`` (N,) and ``scores`` (N,) of one image.

Facts from pytorch/vision: ``test/test_onnx.py`` and ``torchvision/models/detection/transform.py``: the input is one RGB image in
[0, 1]; resizing and normalisation are part of the graph, and boxes are in pixels of the image that was given. Label 0 is
background; the weights for COCO have 91 labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from detectors.external.onnx_models.conventions.convention import Convention, Found
from detectors.external.onnx_models.graph_file import GraphFile


def _ranks(graph: GraphFile) -> list[tuple[int, str]]:
    return sorted((len(each.shape), each.dtype) for each in graph.outputs if each.shape is not None)


def _matches(graph: GraphFile) -> bool:
    return len(graph.inputs) == 1 and _ranks(graph) == [(1, "float32"), (1, "int64"), (2, "float32")]


def _decode(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    """Outputs are told apart by their shapes and types, because the exporter names them as it likes."""
    (boxes,) = (each for each in outputs.values() if each.ndim == 2)
    (scores,) = (each for each in outputs.values() if each.ndim == 1 and each.is_floating_point())
    (labels,) = (each for each in outputs.values() if each.ndim == 1 and not each.is_floating_point())
    return Found(boxes[None], scores[None], labels[None])


TORCHVISION = Convention(
    "torchvision",
    "pytorch/vision: test/test_onnx.py, models/detection/transform.py",
    _matches,
    _decode,
    lambda graph: None,
    pixels="unit",
    resize=None,
    fill=0,
    antialias=True,
    nms=None,
    max_dets=300,
    background=True,
)
