"""What is looked at: the distinct images of a data set by split, and the network's input that their boxes are scaled to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.types import Dataset, Split
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.objects import TrainingObjects, training_objects
from bench.pipeline.placement import place_all
from reports.records.data_check import MAX_EXAMPLES, Example, ImageRef

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SplitSubject:
    """A split, its training targets, and references to its images.

    Attributes:
        split: images and ground truth.
        image: settings of the network's input.
    """

    split: Split
    image: ImageConfig

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.split.name

    def __len__(self) -> int:
        return len(self.split)

    @cached_property
    def objects(self) -> TrainingObjects:
        """Objects that are training targets."""
        return training_objects(self.split)[0]

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(N,) whether each annotated object is neither crowd nor ignored."""
        truth = self.split.truth
        valid: NDArray[np.bool_] = ~(truth.crowd | truth.ignored)
        return valid

    @cached_property
    def targets(self) -> NDArray[np.bool_]:
        """(N,) whether each annotated object is a training target."""
        targets = np.zeros(len(self.split.truth), np.bool_)
        targets[self.objects.rows] = True
        return targets

    @cached_property
    def input_sides(self) -> Floats:
        """(N, 2) width and height of each box in pixels of the network's input; NaN where the image's size is unknown."""
        truth = self.split.truth
        sizes = truth.catalog.sizes.astype(np.int64)
        unknown = (sizes == 0).any(1)
        placed = place_all(np.where(unknown[:, None], 1, sizes), self.image)
        assert isinstance(placed.scale, torch.Tensor)
        scale = placed.scale.numpy().copy()
        scale[unknown] = np.nan
        sides: Floats = truth.xywh[:, 2:] * scale[truth.image]
        return sides

    def ref(self, image: int) -> ImageRef:
        """Reference to the image of an index."""
        catalog = self.split.truth.catalog
        return ImageRef(split=self.name, id=catalog.image_ids[image], file=catalog.file_names[image])

    def object_examples(self, rows: Iterable[int]) -> tuple[Example, ...]:
        """The first objects of these rows of the ground truth, with their boxes."""
        truth = self.split.truth
        return tuple(
            Example(
                images=(self.ref(int(truth.image[row])),),
                objects=(int(truth.object_id[row]),),
                names=(truth.catalog.classes[truth.label[row]],),
                values=dict(zip("xywh", truth.xywh[row].tolist(), strict=True)),
            )
            for row in list(rows)[:MAX_EXAMPLES]
        )

    def image_examples(self, images: Iterable[int]) -> tuple[Example, ...]:
        """The first of these images."""
        return tuple(Example(images=(self.ref(int(image)),)) for image in list(images)[:MAX_EXAMPLES])


def subjects_of(dataset: Dataset, image: ImageConfig) -> list[SplitSubject]:
    """The splits of a data set; of splits that are the same images only the first."""
    splits: list[Split] = []
    for name in dataset.splits:
        split = dataset.splits[name]
        if all(split.truth is not other.truth for other in splits):
            splits.append(split)
    return [SplitSubject(split, image) for split in splits]
