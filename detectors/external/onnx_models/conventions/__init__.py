"""Conventions of other programs' ONNX files, one file each: what their inputs and outputs mean."""

from __future__ import annotations

from detectors.external.onnx_models.conventions import (
    mmdeploy,
    rfdetr,
    rtdetr,
    torchvision,
    ultralytics,
    yolox,
)
from detectors.external.onnx_models.conventions.convention import Convention

CONVENTIONS: dict[str, Convention] = {
    each.name: each
    for each in (
        ultralytics.YOLOV5,
        ultralytics.YOLOV8,
        ultralytics.END_TO_END,
        yolox.YOLOX,
        rfdetr.RFDETR,
        rtdetr.RTDETR,
        mmdeploy.MMDEPLOY,
        torchvision.TORCHVISION,
    )
}
"""All conventions by the name that the setting ``outputs`` takes."""
