"""Objects of a split that are training targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.types import Split
from metrics.plurals import plural
from metrics.tables import AnnotationTable

IGNORED_REGION = -1
"""Label of ignored regions among the boxes of a sample, which move with its objects."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingObjects:
    """Training targets of a split, image by image.

    Attributes:
        boxes: (G, 4) xyxy in pixels of the images, clipped to them.
        labels: (G,) class indices.
        first: (I + 1,) the objects of image i are rows ``first[i]:first[i + 1]``.
        rows: (G,) index of each in the split's ground truth.
        ignored: (R, 4) xyxy of regions that are not background although they have no target, clipped; each box once per image.
        first_ignored: (I + 1,) as `first`, of `ignored`.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    first: NDArray[np.int64]
    rows: NDArray[np.int64]
    ignored: NDArray[np.float32]
    first_ignored: NDArray[np.int64]

    def of_image(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Boxes and labels of an image's objects, followed by its ignored regions with the label `IGNORED_REGION`."""
        own = slice(self.first[index], self.first[index + 1])
        regions = self.ignored[self.first_ignored[index] : self.first_ignored[index + 1]]
        if not len(regions):
            return self.boxes[own], self.labels[own]
        labels = np.full(len(regions), IGNORED_REGION)
        return np.concatenate([self.boxes[own], regions]), np.concatenate([self.labels[own], labels])


def training_objects(split: Split) -> tuple[TrainingObjects, list[str]]:
    """Training targets of a split, and notes on objects that are excluded or clipped.

    Excluded are objects that are crowd, ignored, without width or height, or entirely outside their image. Crowds and ignored
    objects are ignored regions.
    """
    truth: AnnotationTable = split.truth
    left_top, sides = truth.xywh[:, :2], truth.xywh[:, 2:]
    corners = np.concatenate([left_top, left_top + sides], axis=1)
    limits = truth.catalog.sizes[truth.image][:, ::-1].astype(np.float64)
    # The size of an image can be unknown until it is read; its boxes are not clipped then.
    limits[(limits == 0).any(1)] = np.inf
    clipped = corners.clip(0, np.concatenate([limits, limits], axis=1))

    excluded = truth.crowd | truth.ignored
    flat = ~excluded & (sides <= 0).any(1)
    outside = ~excluded & ~flat & (clipped[:, 2:] <= clipped[:, :2]).any(1)
    used = ~(excluded | flat | outside)
    changed = used & (clipped != corners).any(1)

    counts = {
        "crowd": truth.crowd,
        "ignored": truth.ignored & ~truth.crowd,
        "without width or height": flat,
        "outside their image": outside,
    }
    left_out = [f"{int(mask.sum())} {reason}" for reason, mask in counts.items() if mask.any()]
    notes = []
    if left_out:
        notes.append(f"{split.name}: of {plural(len(used), 'object')} not trained on: {', '.join(left_out)}")
    if changed.any():
        notes.append(
            f"{split.name}: {plural(changed.sum(), 'box extends beyond its image and is', 'boxes extend beyond their image and are')} clipped for training"
        )

    rows = np.flatnonzero(used)
    rows = rows[np.argsort(truth.image[rows], kind="stable")]
    first = np.searchsorted(truth.image[rows], np.arange(len(split) + 1))
    regions = np.flatnonzero(excluded & (clipped[:, 2:] > clipped[:, :2]).all(1))
    # A region of every class is one object of each class.
    placed = np.unique(np.column_stack([truth.image[regions], clipped[regions]]), axis=0)
    objects = TrainingObjects(
        clipped[rows].astype(np.float32),
        truth.label[rows].astype(np.int64),
        first,
        rows,
        placed[:, 1:].astype(np.float32),
        np.searchsorted(placed[:, 0], np.arange(len(split) + 1)),
    )
    return objects, notes
