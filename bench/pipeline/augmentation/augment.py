"""Augmentation of one training image, its boxes and label map.

It has two stages, because colour is cheaper to change in a small image: `Augment.move` crops and flips the original,
`Augment.recolor` changes the network's input. `bench.pipeline.augmentation.augmented_images` combines them with changes by
several images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.named_transforms import NamedTransforms
from bench.pipeline.augmentation.overlap_crop import OverlapCrop
from bench.pipeline.augmentation.photometric import ColorJitter
from bench.pipeline.augmentation.seen import Change, Flip, Seen, ZoomOut
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import ResizeWhole, Sample, fit_view
from bench.pipeline.view import View
from metrics.pixel_labels import IGNORED


@dataclass(frozen=True, slots=True)
class Augment:
    """The changes of one configuration. All random numbers are torch's; see `bench.pipeline.augmentation.randomness`.

    Attributes:
        config: the settings.
        geometric: random changes of what is seen of an image.
        flips: the part of them that is applied to mosaics.
        fill: grey value around an image that is zoomed out.
        photometric: transform of the colours of an image.
        named: transforms of other packages; None for none.
    """

    config: AugmentConfig
    geometric: tuple[Change, ...]
    flips: tuple[Change, ...]
    fill: int
    photometric: ColorJitter | None
    named: NamedTransforms | None = None

    def move(
        self, image: Tensor, boxes: Tensor, labels: Tensor, label_map: Tensor | None = None
    ) -> LabelledImage:
        """Zoom, crop and flip.

        Args:
            image: (3, H, W) uint8.
            boxes: (G, 4) float32 xyxy within the image, of positive width and height.
            labels: (G,) int64; ignored regions are moved like objects, but do not change what is drawn at random.
            label_map: (H, W) uint8, see `detectors.types.Targets`; it does not change what is drawn at random.
        """
        return self._shown(self.geometric, LabelledImage(image, boxes, labels, label_map))

    def flip(self, image: LabelledImage) -> LabelledImage:
        """Flip only."""
        return self._shown(self.flips, image)

    def fit(
        self, settings: ImageConfig, index: int, image: LabelledImage, whole: ResizeWhole | None = None
    ) -> Sample:
        """Zoom, crop, flip, and resize to the network's input: in an order that copies few pixels.

        Other than after `move`, an image that is zoomed out begins and ends with a whole pixel of the network's input; boxes
        follow it.

        Args:
            settings: of the network's input.
            index: of the image.
            image: the image; see `move`.
            whole: see `bench.pipeline.placement.fit_view`.
        """
        seen = _see(self.geometric, image)
        return fit_view(
            settings, index, image.image, seen.boxes, seen.labels, image.label_map, seen.view, whole
        )

    def _shown(self, changes: tuple[Change, ...], image: LabelledImage) -> LabelledImage:
        """The image after random changes, at its own resolution."""
        seen = _see(changes, image)
        label_map = None if image.label_map is None else seen.view.show(image.label_map, IGNORED)
        return LabelledImage(seen.view.show(image.image, self.fill), seen.boxes, seen.labels, label_map)

    def recolor(self, image: Tensor) -> Tensor:
        """Brightness, contrast, saturation and hue of a (3, H, W) uint8 image."""
        if self.photometric is None:
            return image
        return self.photometric(image)

    def sanitize(self, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Remove boxes, (G, 4) xyxy in pixels of the network's input, that have become too small."""
        corners = boxes.numpy()
        kept = (corners[:, 2:] - corners[:, :2] >= self.config.min_side).all(1)
        return (boxes, labels) if kept.all() else _rows(boxes, labels, kept)


def make_augment(config: AugmentConfig, fill: int = 114) -> Augment:
    """Make the changes of a configuration; those with probability 0 are left out.

    Args:
        config: settings.
        fill: grey value of the canvas around an image that is zoomed out, 0 .. 255.

    Raises:
        InputError: as `NamedTransforms`.
    """
    geometric: list[Change] = []
    if config.zoom_out and config.zoom_out_to > 1:
        geometric.append(ZoomOut(config.zoom_out, config.zoom_out_to))
    if config.iou_crop:
        geometric.append(OverlapCrop(config.iou_crop, config.crop_from))
    flips: list[Change] = []
    if config.flip:
        flips.append(Flip(config.flip))
    if config.flip_vertical:
        flips.append(Flip(config.flip_vertical, vertical=True))
    photometric: ColorJitter | None = None
    if config.photometric and (config.strength or config.hue):
        photometric = ColorJitter(config.photometric, config.strength, config.hue)
    named = None
    if config.albumentations:
        named = NamedTransforms(config.albumentations, fill, config.min_visible)
    return Augment(config, (*geometric, *flips), tuple(flips), fill, photometric, named)


def _see(changes: tuple[Change, ...], image: LabelledImage) -> Seen:
    """What random changes show of an image; boxes that they made empty are left out."""
    seen = Seen(View.whole(image.size), image.boxes, image.labels)
    for change in changes:
        seen = change(seen)
    corners = seen.boxes.numpy()
    kept = np.logical_and(corners[:, 2] > corners[:, 0], corners[:, 3] > corners[:, 1])
    return seen if kept.all() else Seen(seen.view, *_rows(seen.boxes, seen.labels, kept))


def _rows(boxes: Tensor, labels: Tensor, kept: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(boxes.numpy()[kept]), torch.from_numpy(labels.numpy()[kept])
