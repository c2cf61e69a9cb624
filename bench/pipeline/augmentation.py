"""Random changes of training images that take their boxes along, by torchvision's `transforms.v2`.

Two stages, because colour is cheaper to change after an image has been made small: `Augment.move` cuts and flips
the original, `Augment.recolor` acts on the network's input.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from detectors.config import Config
from detectors.search_range import Range
from metrics.iou import box_iou

Share = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(Config):
    """How often, and how much, a training image is changed. Each is decided anew for every image and epoch."""

    flip: Annotated[Share, Range(0, 0.5)] = 0.5
    """How often left and right are exchanged; 0 where they matter, as in text."""
    flip_vertical: Annotated[Share, Range(0, 0.5)] = 0.0
    """How often top and bottom are exchanged; for views from above, or through a microscope."""
    zoom_out: Annotated[Share, Range(0, 0.5)] = 0.2
    """How often the image is laid on a larger canvas, which makes its objects smaller (SSD, section 3.6)."""
    zoom_out_to: Annotated[float, Field(ge=1, le=8), Range(1.5, 4)] = 2.0
    """Greatest side of that canvas, in sides of the image."""
    iou_crop: Annotated[Share, Range(0, 0.8)] = 0.5
    """How often a part is cut out that keeps the centre of an object and a drawn overlap with one (SSD, section
    2.2). Objects whose centre is outside are dropped, the others cut off at its border."""
    crop_from: Annotated[float, Field(ge=0.1, lt=1), Range(0.3, 0.8)] = 0.5
    """Least side of that part, in sides of the image."""
    photometric: Annotated[Share, Range(0, 0.8)] = 0.5
    """How often brightness, contrast and saturation (and hue) are changed."""
    strength: Annotated[float, Field(ge=0, le=0.9), Range(0.1, 0.5)] = 0.25
    """By how much at most: 0.25 is a factor between 0.75 and 1.25."""
    hue: Annotated[float, Field(ge=0, le=0.5), Range(0, 0.1)] = 0.0
    """By what part of the circle of colours at most; takes longer than all the others together."""
    min_side: Annotated[float, Field(ge=1)] = 2.0
    """A box with a side below so many pixels of the network's input is no target any more."""


@dataclass(frozen=True, slots=True)
class Augment:
    """The changes that a configuration asks for. All randomness is torch's; see `randomness_of`.

    Attributes:
        config: the settings.
        geometric: changes of place, on a sample {image, boxes, labels}.
        photometric: changes of colour, on an image.
    """

    config: AugmentConfig
    geometric: v2.Transform | None
    photometric: v2.Transform | None

    def move(self, image: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Zoom, cut and flip.

        Args:
            image: (3, H, W) uint8.
            boxes: (G, 4) float32 xyxy within the image, of positive width and height.
            labels: (G,) int64.

        Returns:
            An image of perhaps another size, the boxes of what is left in it, within it, and their labels. All
            boxes have positive width and height; perhaps there is none.
        """
        if self.geometric is None:
            return image, boxes, labels
        height, width = image.shape[-2:]
        sample = {
            "image": tv_tensors.Image(image),
            "boxes": tv_tensors.BoundingBoxes(
                boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(height, width)
            ),
            "labels": labels,
        }
        moved = self.geometric(sample)
        boxes, labels = moved["boxes"].as_subclass(Tensor), moved["labels"]
        kept = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero().squeeze(1)
        return moved["image"].as_subclass(Tensor), boxes[kept], labels[kept]

    def recolor(self, image: Tensor) -> Tensor:
        """Brightness, contrast, saturation and hue of a (3, H, W) uint8 image."""
        if self.photometric is None:
            return image
        return cast(Tensor, self.photometric(image))

    def sanitize(self, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Without the boxes, (G, 4) xyxy in pixels of the network's input, that have become too small."""
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = (sides >= self.config.min_side).all(1).nonzero().squeeze(1)
        return (boxes, labels) if len(kept) == len(labels) else (boxes[kept], labels[kept])


def make_augment(config: AugmentConfig, fill: int = 114) -> Augment:
    """The changes that `config` asks for; what is never done costs nothing.

    Args:
        config: the settings.
        fill: grey of the canvas around an image that is zoomed out, 0 .. 255.
    """
    geometric: list[v2.Transform] = []
    if config.zoom_out and config.zoom_out_to > 1:
        geometric.append(v2.RandomZoomOut(fill=fill, side_range=(1.0, config.zoom_out_to), p=config.zoom_out))
    if config.iou_crop:
        geometric.append(_OverlapCrop(config.iou_crop, config.crop_from))
    if config.flip:
        geometric.append(v2.RandomHorizontalFlip(config.flip))
    if config.flip_vertical:
        geometric.append(v2.RandomVerticalFlip(config.flip_vertical))
    photometric: v2.Transform | None = None
    if config.photometric and (config.strength or config.hue):
        jitter = v2.ColorJitter(config.strength, config.strength, config.strength, config.hue)
        photometric = v2.RandomApply([jitter], config.photometric)
    return Augment(config, _chain(geometric), photometric)


@contextmanager
def randomness_of(seed: int) -> Iterator[None]:
    """Within, torch's CPU randomness is that of `seed`; afterwards it is as it was before.

    `transforms.v2` draws from torch's global generator and takes no other. An accelerator's generator is left
    alone: seeding it from here would repeat the dropout of every step.

    Args:
        seed: 0 .. 2^63 - 1.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)


class _OverlapCrop(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """SSD's crop (section 2.2), with a probability.

    `v2.RandomIoUCrop` makes the same choice, but tries one crop at a time, on small objects hundreds of them, and
    never ends on an image without objects. Here all are tried at once, and the image stays as it is where none fits.
    """

    tries = 50
    overlaps = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

    def __init__(self, p: float, crop_from: float) -> None:
        super().__init__()
        self.p = p
        self.crop_from = crop_from

    def forward(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        wanted = float(torch.rand(())) < self.p
        height, width = sample["image"].shape[-2:]
        room = min(height, width) * self.crop_from >= 2
        if not wanted or not room or not len(sample["boxes"]):
            return sample
        crops, inside, best = self._tries(sample["boxes"].as_subclass(Tensor), height, width)
        # One more choice than there are overlaps: to leave the image as it is.
        for choice in torch.randperm(len(self.overlaps) + 1).tolist():
            if choice == len(self.overlaps):
                return sample
            fitting = (best >= self.overlaps[choice]).nonzero()
            if len(fitting):
                row = int(fitting[0])
                left, top, right, bottom = crops[row].long().tolist()
                kept = inside[row].nonzero().squeeze(1)
                boxes = sample["boxes"]
                window = {"top": top, "left": left, "height": bottom - top, "width": right - left}
                return {
                    "image": functional.crop(sample["image"], **window),
                    "boxes": functional.crop(tv_tensors.wrap(boxes[kept], like=boxes), **window),
                    "labels": sample["labels"][kept],
                }
        return sample

    def _tries(self, boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Crops (T, 4) xyxy in whole pixels; which of G centres lie in each (T, G); its best IoU with one of those.

        Crops with sides further apart than 1 : 2 have -1 in place of the IoU, and so have those without a centre.
        """
        drawn = torch.rand(self.tries, 4)
        whole = torch.tensor([width, height])
        sides = ((self.crop_from + (1 - self.crop_from) * drawn[:, :2]) * whole).floor()
        corners = ((whole - sides) * drawn[:, 2:]).floor()
        crops = torch.cat([corners, corners + sides], 1)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((centers > crops[:, None, :2]) & (centers < crops[:, None, 2:])).all(2)
        ratio = sides[:, 0] / sides[:, 1]
        inside &= ((ratio >= 0.5) & (ratio <= 2))[:, None]
        best = torch.where(inside, box_iou(crops, boxes), -1.0).amax(1)
        return crops, inside, best


def _chain(transforms: list[v2.Transform]) -> v2.Transform | None:
    if len(transforms) < 2:
        return transforms[0] if transforms else None
    return v2.Compose(transforms)
