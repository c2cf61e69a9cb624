"""MMDeploy: ``dets`` (B, N, 5), xyxy in pixels of the input and score, and ``labels`` (B, N), after NMS.

Facts from open-mmlab/mmdeploy: ``configs/mmdet/_base_/base_static.py`` (names of outputs) and
``mmdeploy/codebase/mmdet/deploy/object_detection_model.py`` (their shapes). Resizing and normalisation are in the file
``pipeline.json`` beside the model; mostly the aspect ratio is kept with padding at the right and bottom, and ImageNet's mean and
deviation are used. RTMDet takes them in the order BGR and pads with 114 (open-mmlab/mmdetection:
``configs/rtmdet/rtmdet_l_8xb32-300e_coco.py``): ``input.pixels=imagenet-bgr input.fill=114``. The score threshold is part of the graph and
cannot be lowered here: ``score_thr`` of the model's ``test_cfg``, or else that of the deployment, .05
(``mmdeploy/codebase/mmdet/models/dense_heads/base_dense_head.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from detectors.external.onnx_models.conventions.convention import Convention, Found, fits, shape_of
from detectors.external.onnx_models.graph_file import GraphFile


def _matches(graph: GraphFile) -> bool:
    return fits(shape_of(graph, "dets"), None, None, 5) and len(shape_of(graph, "labels")) == 2


def _decode(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> Found:
    dets = outputs["dets"]
    return Found(dets[..., :4], dets[..., 4], outputs["labels"].long())


MMDEPLOY = Convention(
    "mmdeploy",
    "open-mmlab/mmdeploy: mmdeploy/codebase/mmdet/deploy/object_detection_model.py",
    _matches,
    _decode,
    lambda graph: None,
    pixels="imagenet",
    resize="corner",
    fill=0,
    antialias=False,
    nms=None,
    max_dets=300,
)
