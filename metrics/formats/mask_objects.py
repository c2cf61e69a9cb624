"""Masks of single objects as annotation files hold them: polygons and run-length codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SMALLEST_POLYGON = 3


class RunLengths(NamedTuple):
    """A mask in COCO's run-length code.

    Attributes:
        size: (height, width).
        counts: lengths of the runs of 0 and 1 in turn, starting with 0, down the columns; they sum to height * width.
    """

    size: tuple[int, int]
    counts: NDArray[np.int64]

    def decode(self) -> NDArray[np.bool_]:
        """(height, width) mask."""
        height, width = self.size
        bits = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts)
        return bits.reshape(width, height).T


class MaskObject(NamedTuple):
    """An annotated object.

    Attributes:
        label: index of its class in the annotation file.
        crowd: whether it is a region of several objects that are not annotated one by one.
        xywh: its box in pixels.
        polygons: each (P, 2) points x, y in pixels, P >= 3; the object is their union.
        runs: its mask, if it is not given as polygons.
    """

    label: int
    crowd: bool
    xywh: tuple[float, float, float, float]
    polygons: tuple[NDArray[np.float64], ...] = ()
    runs: RunLengths | None = None

    @property
    def has_mask(self) -> bool:
        """Whether more is known than the box."""
        return bool(self.polygons) or self.runs is not None

    @property
    def has_four_corners(self) -> bool:
        """Whether the mask is one polygon of four points, the first of which can be repeated at its end."""
        return len(self.polygons) == 1 and len(np.unique(self.polygons[0], axis=0)) == 4


def parse_polygon(numbers: object) -> NDArray[np.float64] | None:
    """(P, 2) points of ``[x1, y1, x2, y2, ...]``; None unless these are at least three pairs of finite numbers."""
    if not isinstance(numbers, list) or len(numbers) < 2 * _SMALLEST_POLYGON or len(numbers) % 2:
        return None
    if not set(map(type, numbers)) <= {int, float}:
        return None
    points = np.array(numbers, np.float64).reshape(-1, 2)
    return points if np.isfinite(points).all() else None


def parse_runs(size: object, counts: object) -> RunLengths | None:
    """A run-length code of COCO, whose counts are a list of integers or their compressed text; None if it is not valid.

    Validated here, because decoding an invalid one with compiled code could write outside its memory.
    """
    if (
        not isinstance(size, list)
        or len(size) != 2
        or {type(side) for side in size} != {int}
        or min(size) <= 0
    ):
        return None
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or not counts or {type(count) for count in counts} != {int}:
        return None
    if min(counts) < 0 or sum(counts) != size[0] * size[1]:
        return None
    return RunLengths((size[0], size[1]), np.array(counts, np.int64))


def _uncompressed(text: str) -> list[int] | None:
    """The counts of COCO's compressed text; None if it is not such.

    Each character holds five bits of a number in two's complement, the lowest first, and whether more follow. From the fourth on,
    a number is the difference to the count two places before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return None if shift else counts


def count_masks(objects: Sequence[MaskObject]) -> dict[str, int]:
    """Numbers of objects: ``masks``, ``boxes`` (without a usable mask), ``crowds``, and ``quadrilaterals`` among the masks."""
    single = [each for each in objects if not each.crowd]
    return {
        "masks": sum(each.has_mask for each in single),
        "boxes": sum(not each.has_mask for each in single),
        "crowds": len(objects) - len(single),
        "quadrilaterals": sum(each.has_four_corners for each in single),
    }
