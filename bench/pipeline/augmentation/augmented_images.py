"""Augmented training images, which depend on random numbers and on the images of the split only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.pipeline.augmentation.augment import Augment
from bench.pipeline.augmentation.copy_paste import cut_object, draw_rows, paste, paste_weights
from bench.pipeline.augmentation.erasing import erase
from bench.pipeline.augmentation.image_quality import degrade
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.mixup import blend, draw_weight
from bench.pipeline.augmentation.mosaic import make_mosaic
from bench.pipeline.augmentation.warp import draw_warp, fit_map, warp
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.objects import TrainingObjects
from bench.pipeline.placement import ResizeWhole, Sample, fit_image, place


class ImageSource(Protocol):
    """The images that augmentation is made of."""

    objects: TrainingObjects

    def __len__(self) -> int: ...

    def read(self, index: int) -> LabelledImage:
        """An image of the split with its objects."""
        ...

    def read_masks(self, index: int) -> Tensor | None:
        """(H, W) uint8 label map of an image, also if `read` gives none; None if the data set has no masks."""
        ...


class AugmentedImages:
    """The network's input, by the index of an image.

    All random numbers are from torch's global generator, which decides on the other images of a mosaic, a blend, and of pasted
    objects, too.

    Args:
        source: images of the split; at least one.
        image: settings of the network's input.
        augment: the changes.
        whole: resizes images of which all is shown; None for `bench.pipeline.placement.resize`.
    """

    def __init__(
        self, source: ImageSource, image: ImageConfig, augment: Augment, whole: ResizeWhole | None = None
    ) -> None:
        self._source = source
        self._image = image
        self._augment = augment
        self._whole = whole
        self._config = augment.config

    def __call__(self, index: int, several: bool = True, others: Sequence[int] | None = None) -> Sample:
        """An augmented image; without changes by several images unless `several`.

        Args:
            index: of the image.
            several: whether other images can be mixed into it.
            others: images of which those of a mosaic and of a blend are drawn; None for all of the source.

        The changes are: a mosaic, or zooming out, a crop and flips; a warp; pasted objects; blending; erasing; colours; quality;
        and transforms of albumentations.

        Raises:
            InputError: an image cannot be read, or a transform of albumentations fails.
        """
        config = self._config
        others = range(len(self._source)) if others is None else others
        sample = self._arranged(index, several, others)
        if several and _happens(config.copy_paste):
            sample = _with(sample, self._pasted(sample))
        if several and _happens(config.mixup):
            (partner,) = _draw(others, index, 1)
            other = self._arranged(partner, several, others)
            weight = draw_weight(config.mixup_alpha)
            sample = _with(sample, blend(_labelled(sample), _labelled(other), weight))
        if _happens(config.erase):
            count = int(torch.randint(1, config.erase_count + 1, ()))
            erased = erase(_labelled(sample), count, config.erase_area, config.min_visible)
            sample = _with(sample, erased)
        boxes, labels = self._augment.sanitize(sample.boxes, sample.labels)
        pixels = degrade(self._augment.recolor(sample.pixels), config)
        sample = sample._replace(pixels=pixels, boxes=boxes, labels=labels)
        if self._augment.named is not None:
            sample = _with(sample, self._augment.named(_labelled(sample)))
            boxes, labels = self._augment.sanitize(sample.boxes, sample.labels)
            sample = sample._replace(boxes=boxes, labels=labels)
        return sample

    def _arranged(self, index: int, several: bool, others: Sequence[int]) -> Sample:
        """The geometry of an image: as a part of a mosaic or alone, and warped."""
        config = self._config
        mosaic = several and _happens(config.mosaic)
        warped = _happens(config.warp)
        if mosaic:
            whole = self._augment.flip(self._mosaic(index, others))
        elif not warped:
            return self._augment.fit(self._image, index, self._source.read(index), self._whole)
        else:
            whole = self._augment.move(*self._source.read(index))
        if warped:
            size = self._image.size
            matrix = draw_warp(config, size, enlarge=mosaic)
            if not mosaic:
                matrix = matrix @ fit_map(whole.size, self._image)
            whole = warp(whole, matrix, size, self._image.fill, config.min_visible, config.warp_shape)
        return fit_image(self._image, index, *whole)

    def _mosaic(self, index: int, others: Sequence[int]) -> LabelledImage:
        """A mosaic with the image and three others, in random order."""
        indices = [index, *_draw(others, index, 3)]
        order = torch.randperm(4).tolist()
        images = [self._source.read(indices[k]) for k in order]
        return make_mosaic(images, self._image, self._config.mosaic_scale, self._config.min_visible)

    def _pasted(self, sample: Sample) -> LabelledImage:
        """The image with objects of another one; itself if the split has no objects."""
        config, objects = self._config, self._source.objects
        if not len(objects.labels):
            return _labelled(sample)
        count = int(torch.randint(1, config.paste_count + 1, ()))
        index, rows = draw_rows(self._paste_odds, objects, count)
        donor = self._source.read(index)
        masks = self._source.read_masks(index) if donor.label_map is None else donor.label_map
        (height, width), _ = place(donor.size, self._image)
        scale = width / donor.size[1], height / donor.size[0]
        first = int(objects.first[index])
        cuttings = [cut_object(donor, row - first, masks) for row in rows]
        area = _content(sample)
        flip = config.flip > 0
        return paste(_labelled(sample), cuttings, [scale] * len(cuttings), area, flip, config.min_visible)

    @cached_property
    def _paste_odds(self) -> NDArray[np.float64]:
        return np.cumsum(paste_weights(self._source.objects))


def _draw(others: Sequence[int], index: int, count: int) -> list[int]:
    """Draw images other than `index`, each once; where there are too few, some again, and `index` if it is the only one."""
    order = (others[place] for place in torch.randperm(len(others)).tolist())
    drawn = list(islice((other for other in order if other != index), count)) or [index]
    return [drawn[k % len(drawn)] for k in range(count)]


def _happens(probability: float) -> bool:
    """Whether a change happens; nothing is drawn for a probability of 0."""
    return probability > 0 and float(torch.rand(())) < probability


def _labelled(sample: Sample) -> LabelledImage:
    return LabelledImage(sample.pixels, sample.boxes, sample.labels, sample.label_map)


def _with(sample: Sample, image: LabelledImage) -> Sample:
    """The sample with other contents."""
    return sample._replace(
        pixels=image.image, boxes=image.boxes, labels=image.labels, label_map=image.label_map
    )


def _content(sample: Sample) -> tuple[int, int, int, int]:
    """Xyxy of the network's input without padding."""
    (left, top), (height, width) = sample.offset, sample.size
    return left, top, left + round(width * sample.scale[0]), top + round(height * sample.scale[1])
