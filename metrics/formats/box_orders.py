"""What the four numbers of a box are, where a file does not tell: the orders in which all boxes lie within their image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import Layout, convert

_SLACK = 0.01  # of an image's side, for rounding in text
LARGEST_RELATIVE = 1.5
"""Largest number that is taken for a fraction of an image's side."""


@dataclass(frozen=True, slots=True)
class BoxOrder:
    """What the numbers of a line are.

    Attributes:
        name: as written in notes.
        layout: of the box.
        relative: whether it is in fractions of the image's sides.
    """

    name: str
    layout: Layout
    relative: bool = False


def fitting_boxes(
    boxes: NDArray[np.float64], order: BoxOrder, sizes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which boxes are of an order: with two corners in their order, and within their image.

    Args:
        boxes: (N, 4) numbers as written. None fits if any is a pixel and the order relative, or all are fractions and it is not.
        order: what they may be.
        sizes: (N, 2) width and height of the image of each; 0 if unknown.

    Returns:
        (N,).
    """
    if order.relative != (np.abs(boxes).max(initial=0) <= LARGEST_RELATIVE):
        return np.zeros(len(boxes), np.bool_)
    corners = convert(boxes, order.layout, "xyxy")
    size = np.ones_like(sizes) if order.relative else np.where(sizes > 0, sizes, np.inf)
    slack = _SLACK if order.relative else np.maximum(_SLACK * sizes, 1)
    within = (corners[:, :2] >= -slack) & (corners[:, 2:] <= size + slack)
    within &= corners[:, 2:] >= corners[:, :2]
    return np.asarray(within.all(axis=1), np.bool_)
