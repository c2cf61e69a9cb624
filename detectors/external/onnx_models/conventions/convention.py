"""What a convention is: how to recognise a file, prepare an image for it, and read its outputs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from detectors.external.network_input import Resize
from detectors.external.onnx_models.graph_file import Dimension, GraphFile, GraphValue
from detectors.external.onnx_models.settings import Pixels

Decode = Callable[[Mapping[str, Tensor], tuple[int, int]], "Found"]
"""Reads outputs by name, for an input of (height, width)."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a file found in B images: either scores of all classes, or a label for each box.

    Attributes:
        boxes: (B, N, 4) xyxy in pixels of the input.
        scores: (B, N, C) of every class, before NMS; (B, N) of the label.
        labels: (B, N) int64 indices of the file's classes; None if `scores` has all classes. Rows with a negative label are
            padding.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Convention:
    """Inputs and outputs of the files that a program exports.

    Attributes:
        name: as the setting ``outputs`` takes it.
        source: where the facts are from.
        matches: whether a file has these outputs.
        decode: reads the outputs.
        classes: number of classes of a file; None if the outputs do not tell.
        pixels: normalisation of the input.
        resize: how an image gets the input's size; None: it keeps its own.
        fill: grey value of the padding.
        antialias: whether images are filtered when they are made smaller.
        nms: IoU threshold of the NMS that its detections need; None if they need none.
        max_dets: largest number of detections per image in the program's own evaluation.
        names: names of the classes in the file, by index; None if it has none.
        background: whether index 0 is background.
    """

    name: str
    source: str
    matches: Callable[[GraphFile], bool]
    decode: Decode
    classes: Callable[[GraphFile], int | None]
    pixels: Pixels
    resize: Resize | None
    fill: int
    antialias: bool
    nms: float | None
    max_dets: int
    names: Callable[[GraphFile], dict[int, str] | None] = lambda graph: None
    background: bool = False


def image_input(graph: GraphFile) -> GraphValue | None:
    """The input that takes images, (B, 3, H, W) or (3, H, W); None without any."""
    for value in graph.inputs:
        if value.shape is not None and len(value.shape) in (3, 4):
            channels = value.shape[-3]
            if channels == 3 or not isinstance(channels, int):
                return value
    return None


def input_size(graph: GraphFile) -> tuple[int, int] | None:
    """(height, width) of the image input; None if it is free."""
    value = image_input(graph)
    if value is None or value.shape is None:
        return None
    height, width = value.shape[-2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def declared_size(graph: GraphFile) -> tuple[int, int] | None:
    """(height, width) in the metadata ``imgsz``, as Ultralytics writes it; None without it."""
    try:
        size = ast.literal_eval(graph.metadata["imgsz"])
    except (KeyError, ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    whole = isinstance(size, (list, tuple)) and len(size) == 2 and all(isinstance(side, int) for side in size)
    return (size[0], size[1]) if whole else None


def shape_of(graph: GraphFile, name: str) -> tuple[Dimension, ...]:
    """Shape of an output by name; empty if there is no such output or no shape."""
    return next((each.shape or () for each in graph.outputs if each.name == name), ())


def fits(shape: tuple[Dimension, ...], *wanted: int | None) -> bool:
    """Whether a shape has as many dimensions as `wanted`, and its known sizes are those; None stands for any size."""
    return len(shape) == len(wanted) and all(
        want is None or not isinstance(size, int) or size == want
        for size, want in zip(shape, wanted, strict=True)
    )


def cells(size: tuple[int, int] | None, strides: tuple[int, ...] = (8, 16, 32)) -> int | None:
    """Number of cells of the feature maps of an input of (height, width); None if it is free."""
    if size is None:
        return None
    return sum((size[0] // stride) * (size[1] // stride) for stride in strides)


def named_classes(graph: GraphFile) -> dict[int, str] | None:
    """Names of classes in the metadata ``names``: a Python dictionary or list as text, as Ultralytics writes it."""
    try:
        names = ast.literal_eval(graph.metadata["names"])
    except (KeyError, ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
        return None
    return {key: str(name) for key, name in sorted(names.items())}


def corners(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy of (..., 4) cxcywh."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def scaled(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., 4) in pixels of an input of (height, width), of fractions of its sides."""
    return boxes * boxes.new_tensor([size[1], size[0], size[1], size[0]])
