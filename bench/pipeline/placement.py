"""Resizing of images to the network's input, and the way back for boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from bench.pipeline.input_settings import FileInput, ImageConfig
from bench.pipeline.unit_range import to_unit_range
from bench.pipeline.view import View
from metrics.pixel_labels import IGNORED


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Position of each of B images in the network's input: x' = x * scale + offset.

    Attributes:
        scale: (B, 2) float64, of x and y.
        offset: (B, 2) float64, of x and y, in pixels of the network's input.
        sizes: (B, 2) int64 (height, width) of the original images; of augmented images, after cropping and zooming.
    """

    scale: Tensor
    offset: Tensor
    sizes: Tensor

    def to_original(self, boxes: Tensor, image: int | Tensor, clip: bool = True) -> Tensor:
        """Boxes in pixels of the original images, from boxes in pixels of the network's input.

        Args:
            boxes: (N, 4) xyxy.
            image: index in the batch of the image of all boxes, or (N,) of each.
            clip: clip boxes to their image.

        Returns:
            (N, 4) float64 xyxy on the device of `boxes`: the inverse of `to_input` up to rounding.
        """
        scale, offset = self._of(image, boxes.device)
        original = (boxes.to(torch.float64) - offset) / scale
        if not clip:
            return original
        limit = _twice(self.sizes[image].flip(-1)).to(original)
        return original.clamp(min=0).minimum(limit)

    def to_input(self, boxes: Tensor, image: int | Tensor) -> Tensor:
        """Boxes in pixels of the network's input; arguments and result as those of `to_original`."""
        scale, offset = self._of(image, boxes.device)
        return boxes.to(torch.float64) * scale + offset

    def _of(self, image: int | Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        return _twice(self.scale[image]).to(device), _twice(self.offset[image]).to(device)


ResizeWhole = Callable[[int, Tensor, tuple[int, int]], Tensor]
"""Resizes image i of a split, (3, H, W) uint8, to a (height, width)."""


class Sample(NamedTuple):
    """One image as the network's input, with its targets and its position.

    Attributes:
        pixels: (3, height, width) uint8.
        boxes: (G, 4) float32 xyxy in pixels of the network's input.
        labels: (G,) int64.
        image: index in the split.
        scale, offset, size: see `Placement`.
        label_map: (height, width) uint8, see `detectors.types.Targets`; None if label maps were not asked for.
    """

    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    image: int
    scale: tuple[float, float]
    offset: tuple[int, int]
    size: tuple[int, int]
    label_map: Tensor | None = None


class Samples(NamedTuple):
    """A batch of `Sample`; uint8 pixels, because float32 would make four times as much data for workers to send."""

    pixels: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]
    images: Tensor
    placement: Placement
    label_maps: Tensor | None = None


def place(size: tuple[int, int], image: ImageConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """New (height, width) of an image of `size`, and the (top, left) of its corner in the network's input.

    Letterboxing fits the longer side and centres the shorter side, which is at least one pixel.
    """
    height, width = image.size
    if image.resize == "stretch":
        return (height, width), (0, 0)
    ratio = min(height / size[0], width / size[1])
    new_height = min(max(round(size[0] * ratio), 1), height)
    new_width = min(max(round(size[1] * ratio), 1), width)
    if isinstance(image, FileInput) and image.corner:
        return (new_height, new_width), (0, 0)
    return (new_height, new_width), ((height - new_height) // 2, (width - new_width) // 2)


def place_all(sizes: NDArray[np.int64], image: ImageConfig) -> Placement:
    """Placement of images of (height, width) `sizes`, (I, 2)."""
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    scale, offset = np.empty((len(different), 2)), np.empty((len(different), 2))
    for row, (height, width) in enumerate(different.tolist()):
        (new_height, new_width), (top, left) = place((height, width), image)
        scale[row] = new_width / width, new_height / height
        offset[row] = left, top
    which = which.reshape(-1)
    return Placement(*map(torch.from_numpy, (scale[which], offset[which], sizes)))


def fit_images(pixels: Sequence[NDArray[np.uint8]], image: ImageConfig) -> tuple[Tensor, Placement]:
    """Images as the network's input, exactly as a loader without augmentation makes them.

    Args:
        pixels: (H, W, 3) RGB of each of B images.
        image: settings of the network's input.

    Returns:
        (B, 3, height, width) float32 in [0, 1], and their placement.
    """
    boxes, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    samples = [fit_image(image, index, to_tensor(one), boxes, labels) for index, one in enumerate(pixels)]
    batch = collate(samples)
    return to_unit_range(batch.pixels), batch.placement


def original_size(pixels: Sequence[NDArray[np.uint8]]) -> ImageConfig:
    """Settings of the network's input by which a single image keeps its size.

    Args:
        pixels: of exactly one image, (H, W, 3).
    """
    (image,) = pixels
    return ImageConfig().model_copy(update={"size": image.shape[:2]})


def fit_image(
    image: ImageConfig,
    index: int,
    pixels: Tensor,
    boxes: Tensor,
    labels: Tensor,
    label_map: Tensor | None = None,
    whole: ResizeWhole | None = None,
) -> Sample:
    """Resize and pad image `index`, (3, H, W) uint8, and transform its boxes, (G, 4) float32 xyxy, and label map, (H, W)."""
    height, width = pixels.shape[-2:]
    return fit_view(image, index, pixels, boxes, labels, label_map, View.whole((height, width)), whole)


def fit_view(
    image: ImageConfig,
    index: int,
    pixels: Tensor,
    boxes: Tensor,
    labels: Tensor,
    label_map: Tensor | None,
    view: View,
    whole: ResizeWhole | None = None,
) -> Sample:
    """Resize and pad a view of an image, whose `boxes` are in pixels of the view; see `fit_image`.

    `whole` resizes images that the view shows all of, and nothing else; None for `resize`.

    Where the view extends beyond the image, the image begins and ends with a whole pixel of the network's input.
    """
    (new_height, new_width), (top, left) = place(view.size, image)
    height, width = pixels.shape[-2:]
    x0, y0, x1, y1 = view.inside((height, width))
    across = _stretch((x0, x1), view.width, new_width, view.mirrored)
    down = _stretch((y0, y1), view.height, new_height, view.upside_down)
    size, corner = (down.length, across.length), (top + down.start, left + across.start)
    if label_map is not None:
        label_map = _fit_label_map(view.flip(view.cut(label_map)), size, corner, image.size)
    if whole is not None and view[:4] == (0, 0, width, height):
        part = whole(index, pixels, size)
    else:
        part = resize(view.cut(pixels), size, not isinstance(image, FileInput) or image.antialias)
    # NumPy flips without a copy, and copies between orders of axes in half of torch's time.
    shown = part.numpy()[:, :: -1 if view.upside_down else 1, :: -1 if view.mirrored else 1]
    if size == image.size:
        canvas = np.ascontiguousarray(shown)
    else:
        canvas = np.full((3, *image.size), image.fill, np.uint8)
        canvas[:, corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = shown
    shift_x, shift_y = left + across.offset, top + down.offset
    if (across.scale, down.scale, shift_x, shift_y) != (1, 1, 0, 0):
        scale = np.array([across.scale, down.scale] * 2, np.float32)
        boxes = torch.from_numpy(boxes.numpy() * scale + np.array([shift_x, shift_y] * 2, np.float32))
    scales = new_width / view.width, new_height / view.height
    return Sample(torch.from_numpy(canvas), boxes, labels, index, scales, (left, top), view.size, label_map)


def resize(pixels: Tensor, size: tuple[int, int], smooth: bool = True) -> Tensor:
    """Pixels (3, H, W) at another (height, width): bilinear, over the area of each new pixel if `smooth`."""
    if pixels.shape[-2:] == size:
        return pixels
    resized: Tensor = functional.resize_image(pixels, list(size), antialias=smooth)
    return resized


def resize_label_map(label_map: Tensor, size: tuple[int, int]) -> Tensor:
    """A label map at another (height, width): a pixel gets the value of the one that contains its centre.

    The arithmetic is in integers, so that the result is the same on every machine.
    """
    (height, width), (new_height, new_width) = label_map.shape, size
    if (height, width) == size:
        return label_map
    rows = (2 * torch.arange(new_height) + 1) * height // (2 * new_height)
    columns = (2 * torch.arange(new_width) + 1) * width // (2 * new_width)
    return label_map[rows[:, None], columns]


class _Stretched(NamedTuple):
    """The image in one direction of a view that was resized: x' = x * scale + offset, from `start` on."""

    start: int
    length: int
    scale: float
    offset: float


def _stretch(inside: tuple[int, int], side: int, new: int, flipped: bool) -> _Stretched:
    """Resize a side of a view to `new` pixels, with the image `inside` it, and flip it then."""
    first, last = inside
    start = min(round(first * new / side), new - 1)
    length = max(round(last * new / side) - start, 1)
    if flipped:
        first, start = side - last, new - start - length
    scale = length / (inside[1] - inside[0])
    return _Stretched(start, length, scale, start - first * scale)


def _fit_label_map(
    label_map: Tensor, new: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """The label map at (height, width) `new`, with its (top, left) `corner` in a map of `size` that is ignored elsewhere."""
    (new_height, new_width), (top, left) = new, corner
    label_map = resize_label_map(label_map, new)
    if new == size:
        return label_map
    canvas = torch.full(size, IGNORED, dtype=torch.uint8)
    canvas[top : top + new_height, left : left + new_width] = label_map
    return canvas


def collate(samples: Sequence[Sample]) -> Samples:
    """Stack samples, of which all or none have label maps, into a batch."""
    label_maps = [s.label_map for s in samples if s.label_map is not None]
    return Samples(
        torch.stack([s.pixels for s in samples]),
        [s.boxes for s in samples],
        [s.labels for s in samples],
        torch.tensor([s.image for s in samples], dtype=torch.int64),
        Placement(
            torch.tensor([s.scale for s in samples], dtype=torch.float64),
            torch.tensor([s.offset for s in samples], dtype=torch.float64),
            torch.tensor([s.size for s in samples], dtype=torch.int64),
        ),
        torch.stack(label_maps) if label_maps else None,
    )


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(3, H, W) view of an (H, W, 3) image; a copy if it is read-only, because torch warns of those."""
    return torch.from_numpy(image if image.flags.writeable else image.copy()).permute(2, 0, 1)


def _twice(columns: Tensor) -> Tensor:
    """(x, y) as (x, y, x, y), in the last dimension."""
    return torch.cat([columns, columns], dim=-1)
