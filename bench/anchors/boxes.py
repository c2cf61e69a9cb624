"""Boxes of a split as the network sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.objects import training_objects
from bench.pipeline.placement import place_all

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class InputBoxes:
    """Training targets of a split in the network's input, without augmentation.

    Attributes:
        boxes: (G, 4) xyxy in pixels of the network's input.
        labels: (G,) class indices.
        rows: (G,) index of each object in the split's ground truth.
    """

    boxes: Floats
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def input_boxes(split: Split, image: ImageConfig) -> InputBoxes:
    """Training targets of a split, scaled to the network's input.

    Images whose size is not in the annotations are read.
    """
    objects, _ = training_objects(split)
    of = split.truth.image[objects.rows].astype(np.int64)
    sizes = split.truth.catalog.sizes.astype(np.int64).copy()
    occupied = np.bincount(of, minlength=len(split)) > 0
    for index in np.flatnonzero(occupied & (sizes == 0).any(axis=1)):
        sizes[index] = split.load(int(index)).shape[:2]
    sizes[~occupied] = 1  # can be unknown, and no object needs it
    boxes = place_all(sizes, image).to_input(torch.from_numpy(objects.boxes), torch.from_numpy(of))
    return InputBoxes(boxes.numpy(), objects.labels, objects.rows)


def sample_boxes(boxes: Floats, limit: int, seed: int) -> Floats:
    """At most `limit` of the (G, 4) boxes, drawn at random, in their order."""
    if len(boxes) <= limit:
        return boxes
    return boxes[np.sort(np.random.default_rng(seed).choice(len(boxes), limit, replace=False))]
