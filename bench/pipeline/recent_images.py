"""The images that were read last, kept because images that are mixed with one another are each needed several times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bench.pipeline.augmentation.labelled_image import LabelledImage


class RecentImages:
    """Reads images, and keeps the last ones; nobody may change them.

    Args:
        read: an image by its index.
        limit: largest number of bytes that are kept; 0 keeps none.
    """

    def __init__(self, read: Callable[[int], LabelledImage], limit: int) -> None:
        self._read = read
        self._limit = limit
        self._kept: OrderedDict[int, LabelledImage] = OrderedDict()
        self._bytes = 0

    def __call__(self, index: int) -> LabelledImage:
        """The image, which is read if it is not kept."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        image = self._read(index)
        size = _bytes_of(image)
        if size <= self._limit:
            self._kept[index] = image
            self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])
        return image


def _bytes_of(image: LabelledImage) -> int:
    return image.image.nbytes + (0 if image.label_map is None else image.label_map.nbytes)
