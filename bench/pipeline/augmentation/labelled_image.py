"""An image with its boxes, labels and label map while it is augmented."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.objects import IGNORED_REGION
from bench.pipeline.placement import fit_image


class LabelledImage(NamedTuple):
    """An image, and what is known of it in its pixels.

    Attributes:
        image: (3, H, W) uint8.
        boxes: (G, 4) float32 xyxy, within the image and of positive width and height. There can be none.
        labels: (G,) int64; `IGNORED_REGION` is that of an ignored region.
        label_map: (H, W) uint8, see `detectors.types.Targets`; None if there is none.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    label_map: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.image.shape[-2:]
        return height, width


def mirror(image: LabelledImage) -> LabelledImage:
    """The image flipped horizontally."""
    width = image.size[1]
    boxes = torch.stack(
        [width - image.boxes[:, 2], image.boxes[:, 1], width - image.boxes[:, 0], image.boxes[:, 3]], 1
    )
    label_map = None if image.label_map is None else image.label_map.flip(-1)
    return LabelledImage(image.image.flip(-1), boxes, image.labels, label_map)


def stretch(image: LabelledImage, size: tuple[int, int]) -> LabelledImage:
    """The image at another (height, width), by the interpolation of the network's input."""
    if image.size == size:
        return image
    settings = ImageConfig().model_copy(update={"size": size, "resize": "stretch"})
    sample = fit_image(settings, 0, *image)
    return LabelledImage(sample.pixels, sample.boxes, sample.labels, sample.label_map)


def cut_out(image: LabelledImage, left: int, top: int, width: int, height: int) -> LabelledImage:
    """A window of the image. Boxes are those of the whole image in pixels of the window, and are not clipped."""
    window = (slice(top, top + height), slice(left, left + width))
    return LabelledImage(
        functional.crop_image(image.image, top, left, height, width),
        image.boxes - torch.tensor([left, top, left, top]),
        image.labels,
        None if image.label_map is None else image.label_map[window],
    )


def clip_boxes(
    boxes: Tensor, labels: Tensor, window: tuple[int, int, int, int] | NDArray[np.float32], min_visible: float
) -> tuple[Tensor, Tensor]:
    """Boxes and labels of what is left of boxes in a window.

    Args:
        boxes: (G, 4) xyxy, of positive width and height.
        labels: (G,).
        window: xyxy, or (G, 4) xyxy of each box's own window.
        min_visible: share of its area that a box must have in the window; boxes with less are ignored.

    Returns:
        Clipped boxes of positive width and height, and their labels.
    """
    limits = np.asarray(window, np.float32)  # NumPy's small operations take a third of the time of torch's
    corners = boxes.numpy()
    low, high = limits[..., :2], limits[..., 2:]
    left_top = np.minimum(np.maximum(corners[:, :2], low), high)
    right_bottom = np.minimum(np.maximum(corners[:, 2:], low), high)
    sides, whole = right_bottom - left_top, corners[:, 2:] - corners[:, :2]
    seen = sides[:, 0] * sides[:, 1] >= np.float32(min_visible) * (whole[:, 0] * whole[:, 1])
    kept = (sides[:, 0] > 0) & (sides[:, 1] > 0)
    clipped = np.concatenate([left_top, right_bottom], 1)[kept]
    visible = np.where(seen, labels.numpy(), IGNORED_REGION)[kept]
    return torch.from_numpy(clipped), torch.from_numpy(visible)


def ignore_covered(image: LabelledImage, covered: Tensor, min_visible: float) -> LabelledImage:
    """The image with the objects ignored that something covers.

    Args:
        image: the image.
        covered: (H, W) bool, whether something lies over a pixel.
        min_visible: share of the pixels of its box by which an object must be visible.
    """
    labels = image.labels.clone()
    corners = torch.cat([image.boxes[:, :2].floor(), image.boxes[:, 2:].ceil()], 1).int().tolist()
    for row, (left, top, right, bottom) in enumerate(corners):
        hidden = covered[top:bottom, left:right]
        if int(hidden.sum()) > (1 - min_visible) * hidden.numel():
            labels[row] = IGNORED_REGION
    return image._replace(labels=labels)
