"""RT-DETR, D-FINE and DEIM: ``labels``, ``boxes`` and ``scores`` of 300 detections, for a second input ``orig_target_sizes``.

Facts from Peterande/D-FINE: ``tools/inference/onnx_inf.py`` and ``tools/export_onnx.py``, and lyuwenyu/RT-DETR, of which it is
derived: images are stretched, RGB in [0, 1]; ``orig_target_sizes`` (B, 2) int64 is (width, height), to which boxes are scaled.
It is given the size of the input here, so that boxes are in its pixels. Labels count from 0 without background.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from detectors.external.onnx_models.conventions.convention import Convention, Found
from detectors.external.onnx_models.graph_file import GraphFile

SIZES = "orig_target_sizes"
"""Name of the input that takes (width, height)."""


def _matches(graph: GraphFile) -> bool:
    names = {each.name for each in graph.outputs}
    return {"labels", "boxes", "scores"} <= names and SIZES in {each.name for each in graph.inputs}


def _decode(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    return Found(outputs["boxes"], outputs["scores"], outputs["labels"].long())


RTDETR = Convention(
    "rtdetr",
    "Peterande/D-FINE: tools/inference/onnx_inf.py; lyuwenyu/RT-DETR",
    _matches,
    _decode,
    lambda graph: None,
    pixels="unit",
    resize="stretch",
    fill=0,
    antialias=True,
    nms=None,
    max_dets=300,
)
