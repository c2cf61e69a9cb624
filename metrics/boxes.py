"""Boxes in their three layouts, their area, and what happens to them at the edge of an image.

One definition serves NumPy arrays, torch tensors and every other array with a namespace of the array API
standard: nothing here imports torch. Any leading shape is allowed: (4,), (N, 4), (B, N, 4).
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast, get_args

from array_api_compat import array_namespace

from metrics.errors import InputError
from metrics.registry import did_you_mean

Layout = Literal["xyxy", "xywh", "cxcywh"]

Boxes = TypeVar("Boxes")
"""An array or a tensor: what comes in is what goes out."""


def convert(boxes: Boxes, from_: Layout, to: Layout) -> Boxes:
    """The same boxes in another layout.

    Args:
        boxes: (..., 4) in layout `from_`: two corners, corner and size, or centre and size.
        from_: ``xyxy``, ``xywh`` or ``cxcywh``.
        to: likewise.

    Returns:
        (..., 4) of the same dtype. Integer boxes stay integer where no half is needed; a centre needs one, so
        to and from ``cxcywh`` they become floats. The same layout twice returns the boxes as they are.

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
        (...), of the same dtype. A box with its corners in the wrong order holds nothing: 0. In half precision
        an area above 65504 is infinite, and integers overflow like any others: convert before.
    """
    width, height = sides(*columns(boxes))
    return cast(Boxes, cast(Any, width) * height)


def clip(boxes: Boxes, size: tuple[float, float]) -> Boxes:
    """Boxes cut off at the image's edges.

    Args:
        boxes: (..., 4) xyxy, pixels.
        size: (height, width) of the image, pixels.

    Returns:
        (..., 4) with x in [0, width] and y in [0, height]. A box outside the image becomes degenerate and lies
        on its edge; see `degenerate`.
    """
    x1, y1, x2, y2 = columns(boxes)
    xp = array_namespace(boxes)
    height, width = size
    x1, x2 = xp.clip(x1, 0, width), xp.clip(x2, 0, width)
    y1, y2 = xp.clip(y1, 0, height), xp.clip(y2, 0, height)
    return cast(Boxes, _stack(x1, y1, x2, y2))


def degenerate(boxes: Boxes) -> Boxes:
    """Which boxes hold nothing: no width, no height, corners in the wrong order, or a NaN.

    Args:
        boxes: (..., 4) xyxy.

    Returns:
        (...) bool.
    """
    x1, y1, x2, y2 = cast(Any, columns(boxes))
    # written with `>` so that a comparison with NaN says "degenerate"
    return cast(Boxes, ~((x2 > x1) & (y2 > y1)))


def columns(boxes: Boxes, name: str = "boxes") -> tuple[Boxes, Boxes, Boxes, Boxes]:
    """The four columns of boxes, each (...), whatever their layout.

    Args:
        boxes: (..., 4).
        name: what the boxes are called in the error.

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
    """Four columns as boxes of the first one's dtype: the halves of a centre make integer boxes floats."""
    xp = array_namespace(x)
    return xp.stack([x, y, xp.astype(right, x.dtype), xp.astype(bottom, x.dtype)], axis=-1)
