"""Settings of an ONNX file as an external model, importable without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.config import Config

Runtime = Literal["onnxruntime", "openvino"]
Precision = Literal["auto", "f32", "f16", "bf16"]


class OnnxNMSConfig(Config):
    """Which detections are kept; None keeps the limits of the file, or else of the convention."""

    score: Annotated[float, Field(ge=0, le=1)] | None = None
    """Score threshold. None: that of the file, or .001: average precision needs the whole curve."""
    iou: Annotated[float, Field(ge=0, le=1)] | None = None
    """IoU threshold of NMS within a class."""
    max_dets: Annotated[int, Field(ge=1)] | None = None
    """Largest number of detections per image."""


class OnnxConfig(Config):
    """Settings of an ONNX file. The number of CPU threads is that of the run, ``threads``."""

    runtime: Runtime = "onnxruntime"
    """Program that computes the file: `onnxruntime`, or `openvino` (extra `openvino`)."""
    provider: str = "cpu"
    """Execution provider of ONNX Runtime (`cpu`, `cuda`, `coreml`, ...), or device of OpenVINO (`cpu`, `gpu`, `npu`)."""
    precision: Precision = "auto"
    """openvino: precision of the computation; auto: its own choice for this processor, which is printed. ONNX Runtime computes
    in the precision of the file."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Data set's name for a class of the file, where they differ: ``classes.person=face``. Other classes are matched by
    name."""
    nms: OnnxNMSConfig = OnnxNMSConfig()
