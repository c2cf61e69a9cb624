"""YOLOX: predictions relative to the cells of the feature maps.

Facts from Megvii-BaseDetection/YOLOX: ``demo/ONNXRuntime/onnx_inference.py``, ``yolox/data/data_augment.py`` (`preproc`: BGR
from 0 to 255, resized with its aspect ratio into the upper left corner, on grey 114), ``yolox/utils/demo_utils.py``
(`demo_postprocess`) and ``yolox/exp/yolox_base.py`` (NMS at an IoU of .65). ``tools/export_onnx.py`` exports without decoding unless
``--decode_in_inference`` is given; such a file has the same shapes and is not recognised apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from detectors.external.onnx_models.conventions.convention import (
    Convention,
    Found,
    cells,
    corners,
    input_size,
)
from detectors.external.onnx_models.graph_file import GraphFile

_STRIDES = (8, 16, 32)


def _matches(graph: GraphFile) -> bool:
    if len(graph.outputs) != 1:
        return False
    shape = graph.outputs[0].shape or ()
    count = cells(input_size(graph))
    return (
        len(shape) == 3
        and count is not None
        and shape[1] == count
        and isinstance(shape[2], int)
        and shape[2] > 5
    )


def _decode(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    """(B, N, 5 + C): offsets from the cell and logarithms of the size, in strides; objectness and class scores."""
    (rows,) = outputs.values()
    places, steps = [], []
    for stride in _STRIDES:
        y, x = torch.meshgrid(torch.arange(size[0] // stride), torch.arange(size[1] // stride), indexing="ij")
        places.append(torch.stack([x, y], dim=-1).view(-1, 2))
        steps.append(torch.full((len(places[-1]), 1), float(stride)))
    place, step = torch.cat(places).to(rows), torch.cat(steps)
    boxes = torch.cat([(rows[..., :2] + place) * step, rows[..., 2:4].exp() * step], dim=-1)
    return Found(corners(boxes), rows[..., 4:5] * rows[..., 5:])


def _classes(graph: GraphFile) -> int | None:
    size = (graph.outputs[0].shape or (None,))[-1]
    return size - 5 if isinstance(size, int) else None


YOLOX = Convention(
    "yolox",
    "Megvii-BaseDetection/YOLOX: demo/ONNXRuntime/onnx_inference.py",
    _matches,
    _decode,
    _classes,
    pixels="bgr-byte",
    resize="corner",
    fill=114,
    antialias=False,
    nms=0.65,
    max_dets=300,
)
