"""Training images as the network gets them, in one picture: each as it is, and augmented in the first epochs of a run."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import SplitSamples
from bench.pipeline.objects import IGNORED_REGION, training_objects
from bench.pipeline.order import Use
from bench.pipeline.placement import Sample
from metrics.errors import InputError
from reports.elements.palette import PHOTO

ROWS = 4
"""Number of images, evenly spaced over those with objects."""

EPOCHS = 5
"""Number of epochs for which each is drawn."""

SMALLEST = 240
"""Smallest width of an image in the picture; smaller ones are enlarged by a whole factor."""

_OUTLINE = "#101418"
_IGNORED = "#9aa0a6"


def draw_augmented(split: Split, image: ImageConfig, augment: AugmentConfig, seed: int) -> Image.Image:
    """A picture with a row for each image: without augmentation, then as in each epoch; with the boxes of its training targets.

    A class has one colour; ignored regions are grey and crossed out.

    Args:
        split: training images.
        image: settings of the network's input.
        augment: settings of augmentation.
        seed: of the run.

    Raises:
        InputError: there is no image, or one cannot be read.
    """
    if not len(split):
        raise InputError(f"{split.name}: the split has no images to draw")
    objects, _ = training_objects(split)
    plain = SplitSamples(split, objects, image, None, seed)
    changed = SplitSamples(split, objects, image, make_augment(augment, image.fill), seed)
    occupied = np.flatnonzero(np.diff(objects.first) > 0)
    shown = occupied if len(occupied) else np.arange(len(split))
    places = np.unique(np.linspace(0, len(shown) - 1, ROWS + 2)[1:-1].round().astype(int))
    height, width = image.size
    factor = -(-SMALLEST // width)
    gap = 4
    rows = shown[places].tolist()
    step = width * factor + gap, height * factor + gap
    picture = Image.new("RGB", ((EPOCHS + 1) * step[0] - gap, len(rows) * step[1] - gap), "white")
    for row, index in enumerate(rows):
        samples = [plain[Use(0, index)], *(changed[Use(epoch, index)] for epoch in range(EPOCHS))]
        for column, sample in enumerate(samples):
            picture.paste(_drawn(sample, factor), (column * step[0], row * step[1]))
    return picture


def _drawn(sample: Sample, factor: int) -> Image.Image:
    """The network's input, enlarged, with its boxes."""
    pixels = np.ascontiguousarray(sample.pixels.permute(1, 2, 0).numpy())
    drawn = Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1))
    draw = ImageDraw.Draw(drawn)
    width = max(round(drawn.width / 320), 1)
    for box, label in zip((sample.boxes * factor).tolist(), sample.labels.tolist(), strict=True):
        left, top, right, bottom = box
        color = _IGNORED if label == IGNORED_REGION else PHOTO[label % len(PHOTO)]
        draw.rectangle((left - width, top - width, right, bottom), outline=_OUTLINE, width=3 * width)
        draw.rectangle((left, top, right - width, bottom - width), outline=color, width=width)
        if label == IGNORED_REGION:
            draw.line((left, top, right, bottom), fill=color, width=width)
            draw.line((left, bottom, right, top), fill=color, width=width)
    return drawn
