"""Operators of graphs whose number of results depends on the data inside, not outside: NMS and pooling of regions.

A tracer sees operators of torch with results of known shapes; `detectors.graph.translation` makes ONNX operators of them.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torchvision.ops import nms, roi_align


def nms_mask(boxes: Tensor, scores: Tensor, most: int, iou: float, floor: float) -> Tensor:
    """Which boxes greedy NMS keeps within each class of each image.

    Args:
        boxes: (B, A, 4) xyxy, the same for all classes.
        scores: (B, C, A).
        most: largest number of boxes kept per class and image.
        iou: IoU threshold.
        floor: boxes with this score or less are not kept.

    Returns:
        (B, C, A) float32, 1 for kept boxes and 0 for others.
    """
    return cast(Tensor, torch.ops.detbench.nms_mask(boxes, scores, most, iou, floor))


def pool_regions(
    feature: Tensor,
    boxes: Tensor,
    image: Tensor,
    chosen: Tensor,
    size: int,
    scale: float,
    sampling: int,
    aligned: bool,
) -> Tensor:
    """Features of the chosen boxes by RoIAlign (He et al. 2017), and zeros for the others.

    Args:
        feature: (B, channels, rows, columns).
        boxes: (K, 4) xyxy in pixels of the network's input.
        image: (K,) int64 index of each box's image.
        chosen: (K,) bool.
        size: rows and columns of bins.
        scale: cells per pixel.
        sampling: points per bin in each direction; 0: as many as a bin has cells.
        aligned: subtract half a cell from the coordinates.

    Returns:
        (K, channels, size, size).
    """
    arguments = (feature, boxes, image, chosen, size, scale, sampling, aligned)
    return cast(Tensor, torch.ops.detbench.pool_regions(*arguments))


def _nms_mask(boxes: Tensor, scores: Tensor, most: int, iou: float, floor: float) -> Tensor:
    mask = torch.zeros_like(scores)
    for image, of_image in enumerate(scores):
        for label, of_class in enumerate(of_image):
            above = (of_class > floor).nonzero().squeeze(1)
            kept = above[nms(boxes[image, above], of_class[above], iou)][:most]
            mask[image, label, kept] = 1
    return mask


def _pool_regions(
    feature: Tensor,
    boxes: Tensor,
    image: Tensor,
    chosen: Tensor,
    size: int,
    scale: float,
    sampling: int,
    aligned: bool,
) -> Tensor:
    rows = torch.cat([image[:, None].to(boxes), boxes], dim=1)[chosen]
    pooled = feature.new_zeros(len(boxes), feature.shape[1], size, size)
    pooled[chosen] = roi_align(feature, rows, size, scale, sampling or -1, aligned)
    return pooled


_MASK = torch.library.custom_op(
    "detbench::nms_mask",
    _nms_mask,
    mutates_args=(),
    schema="(Tensor boxes, Tensor scores, int most, float iou, float floor) -> Tensor",
)
_POOL = torch.library.custom_op(
    "detbench::pool_regions",
    _pool_regions,
    mutates_args=(),
    schema="(Tensor feature, Tensor boxes, Tensor image, Tensor chosen, int size, float scale, int sampling, bool aligned) "
    "-> Tensor",
)


@_MASK.register_fake
def _(boxes: Tensor, scores: Tensor, most: int, iou: float, floor: float) -> Tensor:
    return torch.empty_like(scores)


@_POOL.register_fake
def _(
    feature: Tensor,
    boxes: Tensor,
    image: Tensor,
    chosen: Tensor,
    size: int,
    scale: float,
    sampling: int,
    aligned: bool,
) -> Tensor:
    return feature.new_empty(boxes.shape[0], feature.shape[1], size, size)


NMS_MASK = torch.ops.detbench.nms_mask.default
"""What a traced graph calls for `nms_mask`."""

POOL_REGIONS = torch.ops.detbench.pool_regions.default
"""What a traced graph calls for `pool_regions`."""
