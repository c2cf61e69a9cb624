"""Label maps of original images from the probabilities of classes in the network's input, and their counts on a split."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor

from bench.data.types import Split
from bench.pipeline.placement import Placement
from metrics.mask_counts import MaskCounts, count_image
from metrics.pixel_labels import BACKGROUND
from metrics.segmentation import Overlap


class LabelMapCounts:
    """Compares the predicted label maps of a split with its masks, image by image; see `bench.pipeline.predict.predict`.

    Args:
        split: has label maps.
    """

    def __init__(self, split: Split) -> None:
        assert split.label_maps is not None
        self.classes = (BACKGROUND, *split.truth.catalog.classes)
        self._truth = split.label_maps
        self._overlaps: dict[int, Overlap] = {}

    def __call__(self, index: int, label_map: NDArray[np.uint8]) -> None:
        """Compare the label map of an image with its masks."""
        self._overlaps[index] = count_image(self._truth(index), label_map, self.classes)

    def gather(self) -> MaskCounts:
        """The counts of all images, in their order. All processes call it."""
        images = list(self._overlaps.items())
        if PartialState().num_processes > 1:
            images = gather_object(images)
        return MaskCounts.of(
            self.classes, (overlap for _, overlap in sorted(images, key=lambda each: each[0]))
        )


def original_label_map(probabilities: Tensor, placement: Placement, image: int) -> NDArray[np.uint8]:
    """The most probable label of every pixel of an original image.

    Padding is cut off, and the probabilities are interpolated (bilinearly) to the size of the original, class by class, so
    that memory does not grow with the number of classes. Of equal probabilities the first label counts.

    Args:
        probabilities: (1 + C, height, width) of the network's input; C at most 254.
        placement: of the batch in the network's input.
        image: index in the batch.

    Returns:
        (H, W); 0 is background, 1 + label a class.
    """
    height, width = placement.sizes[image].tolist()
    scale_x, scale_y = placement.scale[image].tolist()
    left, top = (round(value) for value in placement.offset[image].tolist())
    rows, columns = round(height * scale_y), round(width * scale_x)
    inside = probabilities[:, top : top + rows, left : left + columns]
    best: Tensor | None = None
    labels = torch.zeros(height, width, dtype=torch.uint8, device=inside.device)
    for label, of_class in enumerate(inside):
        if of_class.shape != (height, width):
            of_class = F.interpolate(of_class[None, None], size=(height, width), mode="bilinear")[0, 0]
        if best is None:
            best = of_class
            continue
        better = of_class > best
        labels[better] = label
        best = torch.where(better, of_class, best)
    return labels.cpu().numpy()
