"""Settings of an ONNX file as an external model, importable without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.config import Config
from detectors.external.network_input import Resize

Runtime = Literal["onnxruntime", "openvino"]
Precision = Literal["auto", "f32", "f16", "bf16"]
Outputs = Literal[
    "auto", "detbench", "yolov5", "yolov8", "end2end", "yolox", "rfdetr", "rtdetr", "mmdeploy", "torchvision"
]
Pixels = Literal[
    "imagenet",
    "imagenet-bgr",
    "unit",
    "minus-one-one",
    "face",
    "caffe-bgr",
    "caffe-rgb",
    "bgr-unit",
    "byte",
    "bgr-byte",
]
Side = Annotated[int, Field(ge=8, le=8192)]


class OnnxNMSConfig(Config):
    """Which detections are kept; None keeps the limits of the file, or else of the convention."""

    score: Annotated[float, Field(ge=0, le=1)] | None = None
    """Score threshold. None: that of the file, or .001: average precision needs the whole curve."""
    iou: Annotated[float, Field(ge=0, le=1)] | None = None
    """IoU threshold of NMS within a class."""
    max_dets: Annotated[int, Field(ge=1)] | None = None
    """Largest number of detections per image."""


class OnnxInputConfig(Config):
    """How images are prepared for a file of another program; None is the convention's."""

    size: tuple[Side, Side] | None = None
    """(height, width) of the input, for a file that leaves it free."""
    resize: Resize | None = None
    """`letterbox` keeps the aspect ratio and pads on both sides, `corner` pads at the right and bottom; `stretch` changes the
    aspect ratio."""
    fill: Annotated[int, Field(ge=0, le=255)] | None = None
    """Grey value of the padding."""
    pixels: Pixels | None = None
    """`unit` RGB in 0..1; `byte` RGB in 0..255, `bgr-byte` BGR; `imagenet-bgr` as `imagenet`, with the channels
    in the order BGR; others as in `backbone.input` of variants."""


class OnnxConfig(Config):
    """Settings of an ONNX file. The number of CPU threads is that of the run, ``threads``."""

    runtime: Runtime = "onnxruntime"
    """Program that computes the file: `onnxruntime`, or `openvino` (extra `openvino`)."""
    provider: str = "cpu"
    """Execution provider of ONNX Runtime (`cpu`, `cuda`, `coreml`, ...), or device of OpenVINO (`cpu`, `gpu`, `npu`)."""
    precision: Precision = "auto"
    """openvino: precision of the computation; auto: its own choice for this processor, which is printed. ONNX Runtime computes
    in the precision of the file."""
    outputs: Outputs = "auto"
    """Convention of the outputs; auto recognises it by metadata, names and shapes. See docs/external_models.md."""
    input: OnnxInputConfig = OnnxInputConfig()
    classes: dict[str, str] = Field(default_factory=dict)
    """The data set's name for a class of the file, where they differ: `classes.person=face`. Other classes are matched by
    name. For a file without names, keys are indices: `classes.0=face`."""
    nms: OnnxNMSConfig = OnnxNMSConfig()
