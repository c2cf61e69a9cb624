"""Augmentation of one training image, its boxes and label map.

It has two stages, because colour is cheaper to change in a small image: `Augment.move` crops and flips the original,
`Augment.recolor` changes the network's input. `bench.pipeline.augmentation.augmented_images` combines them with changes by
several images.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.named_transforms import NamedTransforms
from bench.pipeline.augmentation.overlap_crop import OverlapCrop
from bench.pipeline.augmentation.photometric import ColorJitter
from metrics.pixel_labels import IGNORED


@dataclass(frozen=True, slots=True)
class Augment:
    """The changes of one configuration. All random numbers are torch's; see `bench.pipeline.augmentation.randomness`.

    Attributes:
        config: the settings.
        geometric: transform of a sample {image, boxes, labels} and, if it has one, label_map.
        flips: the part of it that is applied to mosaics.
        photometric: transform of the colours of an image.
        named: transforms of other packages; None for none.
    """

    config: AugmentConfig
    geometric: v2.Transform | None
    flips: v2.Transform | None
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
        return _transform(self.geometric, LabelledImage(image, boxes, labels, label_map))

    def flip(self, image: LabelledImage) -> LabelledImage:
        """Flip only."""
        return _transform(self.flips, image)

    def recolor(self, image: Tensor) -> Tensor:
        """Brightness, contrast, saturation and hue of a (3, H, W) uint8 image."""
        if self.photometric is None:
            return image
        return self.photometric(image)

    def sanitize(self, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Remove boxes, (G, 4) xyxy in pixels of the network's input, that have become too small."""
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = (sides >= self.config.min_side).all(1).nonzero().squeeze(1)
        return (boxes, labels) if len(kept) == len(labels) else (boxes[kept], labels[kept])


def make_augment(config: AugmentConfig, fill: int = 114) -> Augment:
    """Make the changes of a configuration; those with probability 0 are left out.

    Args:
        config: settings.
        fill: grey value of the canvas around an image that is zoomed out, 0 .. 255.

    Raises:
        InputError: as `NamedTransforms`.
    """
    geometric: list[v2.Transform] = []
    if config.zoom_out and config.zoom_out_to > 1:
        fills = {tv_tensors.Mask: IGNORED, "others": fill}
        geometric.append(v2.RandomZoomOut(fills, side_range=(1.0, config.zoom_out_to), p=config.zoom_out))
    if config.iou_crop:
        geometric.append(OverlapCrop(config.iou_crop, config.crop_from))
    flips: list[v2.Transform] = []
    if config.flip:
        flips.append(v2.RandomHorizontalFlip(config.flip))
    if config.flip_vertical:
        flips.append(v2.RandomVerticalFlip(config.flip_vertical))
    photometric: ColorJitter | None = None
    if config.photometric and (config.strength or config.hue):
        photometric = ColorJitter(config.photometric, config.strength, config.hue)
    named = None
    if config.albumentations:
        named = NamedTransforms(config.albumentations, fill, config.min_visible)
    return Augment(config, _chain(geometric + flips), _chain(flips), photometric, named)


def _transform(transform: v2.Transform | None, sample: LabelledImage) -> LabelledImage:
    """An image after a transform of torchvision."""
    if transform is None:
        return sample
    image, boxes, labels, label_map = sample
    height, width = image.shape[-2:]
    inputs = {
        "image": tv_tensors.Image(image),
        "boxes": tv_tensors.BoundingBoxes(
            boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(height, width)
        ),
        "labels": labels,
    }
    if label_map is not None:
        inputs["label_map"] = tv_tensors.Mask(label_map)
    moved = transform(inputs)
    boxes, labels = moved["boxes"].as_subclass(Tensor), moved["labels"]
    kept = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero().squeeze(1)
    pixels = None if label_map is None else moved["label_map"].as_subclass(Tensor)
    return LabelledImage(moved["image"].as_subclass(Tensor), boxes[kept], labels[kept], pixels)


def _chain(transforms: list[v2.Transform]) -> v2.Transform | None:
    if len(transforms) < 2:
        return transforms[0] if transforms else None
    return v2.Compose(transforms)
