"""Translation of `detectors.graph.operators` to ONNX operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxscript import opset18

from detectors.graph import operators

op: Any = opset18

OPSET = 18
"""Version of the ONNX operators, for which torch's exporter needs no conversion."""


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The function that writes ONNX operators, by the operator of torch."""
    return {
        operators.NMS_MASK: _nms_mask,
        operators.POOL_REGIONS: _pool_regions,
    }


def _nms_mask(boxes: Any, scores: Any, most: int, iou: float, floor: float) -> Any:
    chosen = op.NonMaxSuppression(boxes, scores, most, iou, floor)  # (n, 3): image, class, box
    number = op.Slice(op.Shape(chosen), [0], [1])
    nothing = op.Expand(op.Constant(value_float=0.0), op.Shape(scores))
    return op.ScatterND(nothing, chosen, op.Expand(op.Constant(value_float=1.0), number))


def _pool_regions(
    feature: Any,
    boxes: Any,
    image: Any,
    chosen: Any,
    size: int,
    scale: float,
    sampling: int,
    aligned: bool,
) -> Any:
    rows = op.Reshape(op.NonZero(chosen), op.Constant(value_ints=[-1]))
    pooled = op.RoiAlign(
        feature,
        op.Gather(boxes, rows),
        op.Gather(image, rows),
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        output_height=size,
        output_width=size,
        sampling_ratio=sampling,
        spatial_scale=scale,
    )
    count = op.Slice(op.Shape(boxes), [0], [1])
    channels = op.Slice(op.Shape(feature), [1], [2])
    shape = op.Concat(count, channels, op.Constant(value_ints=[size, size]), axis=0)
    nothing = op.Expand(op.Constant(value_float=0.0), shape)
    return op.ScatterND(nothing, op.Reshape(rows, op.Constant(value_ints=[-1, 1])), pooled)
