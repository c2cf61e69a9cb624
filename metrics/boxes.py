"""Boxes: conversion between layouts, area, and clipping to an image.

The functions take NumPy arrays, torch tensors and other arrays of the array API standard, without importing torch. Any
leading shape is allowed: (4,), (N, 4), (B, N, 4).
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast, get_args

from array_api_compat import array_namespace

from metrics.errors import InputError
from metrics.registry import did_you_mean

Layout = Literal["xyxy", "xywh", "cxcywh"]

Boxes = TypeVar("Boxes")
"""An array or tensor; the result has the type of the argument."""


def convert(boxes: Boxes, from_: Layout, to: Layout) -> Boxes:
    """Convert boxes to another layout.

    Args:
        boxes: (..., 4) in layout `from_`: two corners, corner and size, or centre and size.
        from_: ``xyxy``, ``xywh`` or ``cxcywh``.
        to: ``xyxy``, ``xywh`` or ``cxcywh``.

    Returns:
        (..., 4) of the same dtype, but integer boxes become floats to and from ``cxcywh``, where centres may be halves.
        With equal layouts the boxes themselves are returned.

    Raises:
        InputError: an unknown layout, or boxes that are not (..., 4).
    """
    _check_layout(from_)
    _check_layout(to)
    if from_ == to:
        columns(boxes)
        return boxes
    x, y, w, h = _corner_and_size(boxes, from_)
    if to == "xyxy":
        converted = _stack(x, y, x + w, y + h)
    elif to == "xywh":
        converted = _stack(x, y, w, h)
    else:
        converted = _stack(x + w / 2, y + h / 2, w, h)
    return cast(Boxes, converted)


def area(boxes: Boxes) -> Boxes:
    """Area of boxes in square pixels.

    Args:
        boxes: (..., 4) xyxy.

    Returns:
        (...), of the same dtype; 0 for a box with its corners in the wrong order. In half precision an area above 65504
        is infinite, and integers may overflow: convert them before.
    """
    width, height = sides(*columns(boxes))
    return cast(Boxes, cast(Any, width) * height)


def clip(boxes: Boxes, size: tuple[float, float]) -> Boxes:
    """Clip boxes to an image.

    Args:
        boxes: (..., 4) xyxy, pixels.
        size: (height, width) of the image, pixels.

    Returns:
        (..., 4) with x in [0, width] and y in [0, height]. A box outside the image becomes degenerate, on the border of
        the image; see `degenerate`.
    """
    x1, y1, x2, y2 = columns(boxes)
    xp = array_namespace(boxes)
    height, width = size
    x1, x2 = xp.clip(x1, 0, width), xp.clip(x2, 0, width)
    y1, y2 = xp.clip(y1, 0, height), xp.clip(y2, 0, height)
    return cast(Boxes, _stack(x1, y1, x2, y2))


def degenerate(boxes: Boxes) -> Boxes:
    """Whether boxes are empty: no width, no height, corners in the wrong order, or NaN.

    Args:
        boxes: (..., 4) xyxy.

    Returns:
        (...) bool.
    """
    x1, y1, x2, y2 = cast(Any, columns(boxes))
    # with `>` a box with NaN is degenerate
    return cast(Boxes, ~((x2 > x1) & (y2 > y1)))


def columns(boxes: Boxes, name: str = "boxes") -> tuple[Boxes, Boxes, Boxes, Boxes]:
    """The four columns of boxes, each (...), whatever their layout.

    Args:
        boxes: (..., 4).
        name: of the boxes in error messages.

    Raises:
        InputError: boxes that are not (..., 4).
    """
    array = cast(Any, boxes)
    shape = tuple(array.shape)
    if not shape or shape[-1] != 4:
        raise InputError(f"{name}: expected shape (..., 4), one row per box, got {shape}")
    return array[..., 0], array[..., 1], array[..., 2], array[..., 3]


def sides(x1: Boxes, y1: Boxes, x2: Boxes, y2: Boxes) -> tuple[Boxes, Boxes]:
    """Width and height between corners, each (...); 0 where the corners are in the wrong order."""
    xp = array_namespace(x1)
    return xp.clip(cast(Any, x2) - x1, 0, None), xp.clip(cast(Any, y2) - y1, 0, None)


def _check_layout(layout: str) -> None:
    if layout not in get_args(Layout):
        known = list(get_args(Layout))
        raise InputError(
            f"unknown box layout {layout!r}{did_you_mean(layout, known) or '; known: ' + ', '.join(known)}"
        )


def _corner_and_size(boxes: Any, layout: Layout) -> tuple[Any, Any, Any, Any]:
    a, b, c, d = columns(boxes)
    if layout == "xywh":
        return a, b, c, d
    if layout == "xyxy":
        return a, b, c - a, d - b
    return a - c / 2, b - d / 2, c, d


def _stack(x: Any, y: Any, right: Any, bottom: Any) -> Any:
    """Four columns as boxes of the dtype of the first."""
    xp = array_namespace(x)
    return xp.stack([x, y, xp.astype(right, x.dtype), xp.astype(bottom, x.dtype)], axis=-1)
