"""Overlap of boxes: IoU, GIoU, DIoU, CIoU and IoA, for evaluation and as losses.

Each has two forms: `box_iou` compares all pairs, (N, 4) with (M, 4) to (N, M), and `aligned_box_iou` compares row by row,
(N, 4) with (N, 4) to (N,). They take NumPy arrays and torch tensors on any device, without importing torch; gradients
are finite everywhere, including degenerate, disjoint and identical boxes.

Boxes are xyxy. A box with its corners in the wrong order is empty. Integer boxes are compared in the default float
type of their namespace; half precision is computed in single precision, because the area of a 300-pixel square exceeds
float16, and returned in its own dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

from array_api_compat import array_namespace

from metrics.boxes import columns, sides

Boxes = TypeVar("Boxes")
"""An array or tensor; the result has the type of the arguments."""


def box_iou(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of every box in `a` with every box in `b` (Jaccard 1912).

    Args:
        a: (..., N, 4) xyxy.
        b: (..., M, 4) xyxy, in the same unit as `a`.

    Returns:
        (..., N, M) in [0, 1]. IoU is 0, not NaN, where the union is empty.

    Raises:
        InputError: boxes that are not (..., 4).
    """
    return _pairwise(_iou, a, b)


def aligned_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """`box_iou` of each row of `a` with the same row of `b`: (..., 4) and (..., 4) to (...)."""
    return cast(Boxes, _aligned(_iou, a, b))


def generalized_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """IoU minus the fraction of the enclosing box that neither box covers (Rezatofighi et al. 2019, algorithm 1).

    Args:
        a: (..., N, 4) xyxy.
        b: (..., M, 4) xyxy, in the same unit as `a`.

    Returns:
        (..., N, M) in [-1, 1]: 1 for identical boxes, negative for distant ones. GIoU is IoU where the enclosing box has
        no area.
    """
    return _pairwise(_giou, a, b)


def aligned_generalized_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """`generalized_box_iou` of each row of `a` with the same row of `b`: (..., 4) and (..., 4) to (...)."""
    return cast(Boxes, _aligned(_giou, a, b))


def distance_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """IoU minus squared distance of centres over squared diagonal of the enclosing box (Zheng et al. 2020).

    Args:
        a: (..., N, 4) xyxy.
        b: (..., M, 4) xyxy, in the same unit as `a`.

    Returns:
        (..., N, M) in [-1, 1]. The distance term is 0 where the enclosing box is a point.
    """
    return _pairwise(_diou, a, b)


def aligned_distance_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """`distance_box_iou` of each row of `a` with the same row of `b`: (..., 4) and (..., 4) to (...)."""
    return cast(Boxes, _aligned(_diou, a, b))


def complete_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """DIoU minus ``alpha * v``, where v compares the aspect ratios (Zheng et al. 2020).

    ``v = 4 / pi^2 * (atan(w_b / h_b) - atan(w_a / h_a))^2`` and ``alpha = v / (1 - IoU + v)``, constant for
    the gradient as in the paper, and 0 where both terms are 0.

    Args:
        a: (..., N, 4) xyxy.
        b: (..., M, 4) xyxy, in the same unit as `a`.

    Returns:
        (..., N, M) in [-1.5, 1]. The angle of a box without height is pi/2, of a point 0.
    """
    return _pairwise(_ciou, a, b)


def aligned_complete_box_iou(a: Boxes, b: Boxes) -> Boxes:
    """`complete_box_iou` of each row of `a` with the same row of `b`: (..., 4) and (..., 4) to (...)."""
    return cast(Boxes, _aligned(_ciou, a, b))


def box_ioa(a: Boxes, regions: Boxes) -> Boxes:
    """Intersection over area of the box: the fraction of each box that is in each region.

    This is COCO's overlap of a detection with a crowd.

    Args:
        a: (..., N, 4) xyxy.
        regions: (..., M, 4) xyxy, in the same unit as `a`.

    Returns:
        (..., N, M) in [0, 1]; 0 for a box without area.
    """
    return _pairwise(_ioa, a, regions)


def aligned_box_ioa(a: Boxes, regions: Boxes) -> Boxes:
    """`box_ioa` of each row of `a` with the same row of `regions`: (..., 4) and (..., 4) to (...)."""
    return cast(Boxes, _aligned(_ioa, a, regions))


_Kernel = Callable[[Any, "_Corners", "_Corners"], Any]
_Corners = tuple[Any, Any, Any, Any]


def _pairwise(kernel: _Kernel, a: Boxes, b: Boxes) -> Boxes:
    columns(a, "boxes a")
    columns(b, "boxes b")
    return cast(Boxes, _aligned(kernel, cast(Any, a)[..., :, None, :], cast(Any, b)[..., None, :, :]))


def _aligned(kernel: _Kernel, a: Any, b: Any) -> Any:
    """`kernel` on corners that broadcast, in a dtype wide enough for areas."""
    xp = array_namespace(a, b)
    given = xp.result_type(a.dtype, b.dtype)
    if not xp.isdtype(given, "real floating"):
        given = xp.zeros(0).dtype
    working = xp.float32 if xp.finfo(given).bits < 32 else given
    overlap = kernel(
        xp,
        columns(xp.astype(a, working, copy=False), "boxes a"),
        columns(xp.astype(b, working, copy=False), "boxes b"),
    )
    return xp.astype(overlap, given, copy=False)


def _iou(xp: Any, a: _Corners, b: _Corners) -> Any:
    intersection, union = _intersection_and_union(xp, a, b)
    return _ratio(xp, intersection, union)


def _ioa(xp: Any, a: _Corners, b: _Corners) -> Any:
    width, height = sides(*a)
    return _ratio(xp, _intersection(xp, a, b), width * height)


def _giou(xp: Any, a: _Corners, b: _Corners) -> Any:
    intersection, union = _intersection_and_union(xp, a, b)
    width, height = _enclosing_sides(xp, a, b)
    enclosing = width * height
    return _ratio(xp, intersection, union) - _ratio(xp, enclosing - union, enclosing)


def _diou(xp: Any, a: _Corners, b: _Corners) -> Any:
    return _iou(xp, a, b) - _distance(xp, a, b)


def _ciou(xp: Any, a: _Corners, b: _Corners) -> Any:
    iou = _iou(xp, a, b)
    v = 4 / math.pi**2 * (_angle(xp, b) - _angle(xp, a)) ** 2
    alpha = _constant(_ratio(xp, v, 1 - iou + v))
    return iou - _distance(xp, a, b) - alpha * v


def _intersection_and_union(xp: Any, a: _Corners, b: _Corners) -> tuple[Any, Any]:
    intersection = _intersection(xp, a, b)
    a_width, a_height = sides(*a)
    b_width, b_height = sides(*b)
    return intersection, a_width * a_height + b_width * b_height - intersection


def _intersection(xp: Any, a: _Corners, b: _Corners) -> Any:
    width = xp.clip(xp.minimum(a[2], b[2]) - xp.maximum(a[0], b[0]), 0, None)
    height = xp.clip(xp.minimum(a[3], b[3]) - xp.maximum(a[1], b[1]), 0, None)
    return width * height


def _enclosing_sides(xp: Any, a: _Corners, b: _Corners) -> tuple[Any, Any]:
    return sides(
        xp.minimum(a[0], b[0]), xp.minimum(a[1], b[1]), xp.maximum(a[2], b[2]), xp.maximum(a[3], b[3])
    )


def _distance(xp: Any, a: _Corners, b: _Corners) -> Any:
    """Squared distance of the centres over squared diagonal of the enclosing box."""
    dx = (a[0] + a[2] - b[0] - b[2]) / 2
    dy = (a[1] + a[3] - b[1] - b[3]) / 2
    width, height = _enclosing_sides(xp, a, b)
    return _ratio(xp, dx**2 + dy**2, width**2 + height**2)


def _angle(xp: Any, box: _Corners) -> Any:
    """Arctangent of width over height, in [0, pi/2], with a finite gradient also for a point."""
    width, height = sides(*box)
    point = width**2 + height**2 < xp.finfo(width.dtype).smallest_normal
    zero = xp.zeros_like(width)
    return xp.atan2(xp.where(point, zero, width), xp.where(point, zero + 1, height))


def _ratio(xp: Any, part: Any, whole: Any) -> Any:
    """`part` over `whole`; 0 with gradient 0 where `whole` is too small to divide by."""
    empty = whole < xp.finfo(whole.dtype).smallest_normal
    zero = xp.zeros_like(whole)
    return xp.where(empty, zero, part) / xp.where(empty, zero + 1, whole)


def _constant(values: Any) -> Any:
    """The same values, constant for the gradient."""
    return values.detach() if hasattr(values, "detach") else values
