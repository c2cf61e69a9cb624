"""Label maps drawn from polygons and run-length codes of single objects."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.image_masks import IGNORED_CLASS, Frame
from metrics.formats.mask_objects import MaskObject, count_masks
from metrics.pixel_labels import IGNORED

Objects = Mapping[Any, Sequence[MaskObject]]
"""By key of their image."""


class ObjectMasks:
    """Masks of the objects of an annotation file, as a `bench.data.image_masks.MaskSource`.

    Args:
        read: returns the objects of each image that has any; called when they are first needed. It must be possible to pickle it.
    """

    def __init__(self, read: Callable[[], Objects]) -> None:
        self._read = read
        self._objects: Objects | None = None

    def draw(self, key: Hashable, frame: Frame, values: Sequence[int]) -> NDArray[np.uint8]:
        """Label map of an image, see `draw_objects`; background everywhere if it has no objects."""
        return draw_objects(self._of(key), frame.size, values)

    def digest(self, keys: Sequence[Hashable]) -> bytes:
        """Hash of the masks of some images."""
        digest = hashlib.sha256()
        for key in keys:
            for each in self._of(key):
                digest.update(repr((each.label, each.crowd, each.xywh, len(each.polygons))).encode())
                for points in each.polygons:
                    digest.update(points.tobytes())
                if each.runs is not None:
                    digest.update(repr(each.runs.size).encode() + each.runs.counts.tobytes())
            digest.update(b"\n")
        return digest.digest()

    def count(self, keys: Sequence[Hashable]) -> Mapping[str, int]:
        """See `metrics.formats.mask_objects.count_masks`."""
        total: Counter[str] = Counter()
        for key in keys:
            total.update(count_masks(self._of(key)))
        return total

    def _of(self, key: Hashable) -> Sequence[MaskObject]:
        if self._objects is None:
            self._objects = self._read()
        return self._objects.get(key, ())


def draw_objects(
    objects: Sequence[MaskObject], size: tuple[int, int], values: Sequence[int]
) -> NDArray[np.uint8]:
    """Label map of an image.

    Where masks overlap, the object with the smaller mask is on top, of equal ones the later: annotations do not say what is in
    front, and a polygon cannot have a hole, so that the larger object mostly encloses the smaller one or is behind it.
    Crowd regions, and boxes of objects without a usable mask, are ignored where no object is drawn over them.

    Args:
        objects: of the image.
        size: (height, width) of the image.
        values: value of each class of the objects; 0 leaves them out, and `IGNORED_CLASS` draws them as ignored.

    Returns:
        (height, width) uint8.
    """
    label_map = np.zeros(size, np.uint8)
    drawn: list[tuple[NDArray[np.bool_], int]] = []
    for each in objects:
        value = values[each.label]
        if value and each.has_mask and not each.crowd:
            drawn.append((object_mask(each, size), IGNORED if value == IGNORED_CLASS else value))
        elif value and each.has_mask:
            label_map[object_mask(each, size)] = IGNORED
        elif value:
            x, y, w, h = each.xywh
            rows = slice(max(math.floor(y), 0), max(math.ceil(y + h), 0))
            columns = slice(max(math.floor(x), 0), max(math.ceil(x + w), 0))
            label_map[rows, columns] = IGNORED
    drawn.sort(key=lambda pair: -int(np.count_nonzero(pair[0])))
    for mask, value in drawn:
        label_map[mask] = value
    return label_map


def object_mask(each: MaskObject, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(height, width) mask of an object: polygons are filled as by pycocotools; a mask of another size is cut off or extended.

    Points further from the image than its longer side are moved nearer, because filling takes time and memory in proportion.
    """
    height, width = size
    if each.polygons:
        from pycocotools import mask as pycocotools_mask

        limit = 2 * max(size)
        flat = [points.clip(-limit, limit).ravel().tolist() for points in each.polygons]
        runs = pycocotools_mask.merge(pycocotools_mask.frPyObjects(flat, height, width))
        filled: NDArray[np.bool_] = pycocotools_mask.decode(runs).view(np.bool_)
        return filled
    assert each.runs is not None
    mask = each.runs.decode()
    if mask.shape == size:
        return mask
    canvas = np.zeros(size, np.bool_)
    part = mask[:height, :width]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas
