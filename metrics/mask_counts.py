"""Areas of every class in every image: from them come the measures of a data set, and of any resample of its images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.pixel_labels import IGNORED
from metrics.segmentation import LabelMaps, Overlap

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MaskCounts:
    """Pixels of each class in each of I images, without those that are ignored.

    Attributes:
        classes: K names, of background too if it has a label.
        intersection: (I, K) pixels of the class in truth and prediction.
        truth: (I, K) pixels of the class in the truth.
        predicted: (I, K) pixels of the class in the prediction.
        pixels: (I,) compared pixels.
    """

    classes: tuple[str, ...]
    intersection: Counts
    truth: Counts
    predicted: Counts
    pixels: Counts

    def __post_init__(self) -> None:
        shape = (len(self.pixels), len(self.classes))
        for name in ("intersection", "truth", "predicted"):
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"MaskCounts.{name}: expected shape {shape}, got {getattr(self, name).shape}"
                )

    @classmethod
    def of(cls, classes: Sequence[str], overlaps: Iterable[Overlap]) -> MaskCounts:
        """The counts of images, each of which is an `Overlap` of these classes."""
        images = list(overlaps)
        areas = {
            name: np.array([getattr(each, name) for each in images], np.int64).reshape(-1, len(classes))
            for name in ("intersection", "truth", "predicted")
        }
        return cls(tuple(classes), **areas, pixels=np.array([each.pixels for each in images], np.int64))

    def select(self, images: ArrayLike) -> MaskCounts:
        """The counts of these images, by their indices and in their order."""
        rows = np.asarray(images, np.intp)
        areas = (self.intersection[rows], self.truth[rows], self.predicted[rows])
        return MaskCounts(self.classes, *areas, self.pixels[rows])

    def overlap(self) -> Overlap:
        """The areas and measures of all images together."""
        areas = (self.intersection.sum(0), self.truth.sum(0), self.predicted.sum(0))
        return Overlap(self.classes, *areas, int(self.pixels.sum()), exclusive=True)


def count_image(
    truth: ArrayLike, predicted: ArrayLike, classes: Sequence[str] | int, ignore: int | None = IGNORED
) -> Overlap:
    """Areas of each class in one image; arguments and errors as those of `LabelMaps`."""
    return LabelMaps(classes, ignore).update(truth, predicted).compute()
