"""RT-DETR, D-FINE and DEIM: ``labels``, ``boxes`` and ``scores`` of 300 detections, for a second input ``orig_target_sizes``.

Facts from lyuwenyu/RT-DETR, ``rtdetrv2_pytorch/tools/export_onnx.py`` (names), and Peterande/D-FINE, which is derived of it:
``tools/inference/onnx_inf.py`` and ``configs/dfine/include/dataloader.yml``. Images are stretched, RGB in [0, 1], in the evaluation of
both; newer examples of D-FINE keep the aspect ratio and pad. ``orig_target_sizes`` (B, 2) int64 is (width, height), to which boxes are
scaled. It is given the size of the input here, so that boxes are in its pixels. Labels count from 0 without background.
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
    "lyuwenyu/RT-DETR: rtdetrv2_pytorch/tools/export_onnx.py; Peterande/D-FINE: tools/inference/onnx_inf.py",
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
