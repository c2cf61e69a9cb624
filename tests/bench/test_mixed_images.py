"""Images that are mixed: with which others, and how often each is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_data import split_of

from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import Loader, make_loader
from bench.pipeline.recent_images import RecentImages

NOTHING = {"flip": 0, "zoom_out": 0, "iou_crop": 0, "photometric": 0}
FILL = 255
IMAGE = ImageConfig(size=(32, 32), fill=FILL)


def numbered(count: int) -> Split:
    """Images in one grey value, which is their index."""
    images = [np.full((64, 64, 3), index, np.uint8) for index in range(count)]
    return split_of(images, [[(0, (1.0, 1.0, 40.0, 40.0))]] * count)


def mixing(split: Split, batch_size: int, workers: int = 0, **changes: Any) -> Loader:
    augment = AugmentConfig.model_validate(NOTHING | changes)
    return make_loader(split, IMAGE, augment, batch_size, 3, workers, shuffle=True)


def mosaics(loader: Loader) -> list[tuple[int, set[int]]]:
    """Index and grey values of each image of an epoch."""
    return [
        (index, set((image * 255).round().int().unique().tolist()) - {FILL})
        for batch in loader
        for index, image in zip(batch.index.tolist(), batch.images, strict=True)
    ]


@pytest.mark.parametrize("count", [3, 16, 41])
def test_a_mosaic_is_of_four_images_of_sixteen_successive_ones(count):
    loader = mixing(numbered(count), 7, mosaic=1, mosaic_scale=1)
    partners: Counter[int] = Counter()
    for epoch in range(12):
        loader.state = epoch, 0
        found = mosaics(loader)
        order = [index for index, _ in found]
        for place, (index, shown) in enumerate(found):
            start = min(place // 16 * 16, max(count - 16, 0))
            assert index in shown
            assert shown <= set(order[start : start + 16])
            assert len(shown) == min(4, count)
            partners.update(shown - {index})
    expected = 12 * min(3, count - 1)
    assert sum(partners.values()) == expected * count
    if count == 41:  # a binomial count of 12 * 40 draws has the standard deviation 5.8
        assert all(abs(partners[index] - expected) < 30 for index in range(count))


def test_mixed_images_do_not_depend_on_batches_and_workers():
    split = numbered(41)
    whole = sorted((index, sorted(shown)) for index, shown in mosaics(mixing(split, 41, mosaic=1)))
    for batch_size, workers in ((5, 0), (16, 2)):
        found = mosaics(mixing(split, batch_size, workers, mosaic=1))
        assert sorted((index, sorted(shown)) for index, shown in found) == whole


@pytest.mark.parametrize("changes", [{"mosaic": 1}, {"mixup": 1}, {"mosaic": 0.5, "mixup": 0.5}])
def test_each_image_is_read_once_although_it_is_mixed_into_others(changes):
    split, read = numbered(40), Counter[int]()

    def load(index: int) -> NDArray[np.uint8]:
        read[index] += 1
        return split.load(index)

    for _ in mixing(replace(split, load=load), 16, **changes):
        pass
    assert read == dict.fromkeys(range(40), 1)
    read.clear()
    for _ in mixing(replace(split, load=load), 16, flip=1):
        pass
    assert read == dict.fromkeys(range(40), 1)


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 12))
def test_the_last_images_within_the_limit_are_kept(indices, room):
    """The oracle: an image of i + 1 rows is kept if it and those that were asked for since take at most `room` rows."""
    read: list[int] = []

    def image(index: int) -> LabelledImage:
        read.append(index)
        pixels = torch.full((3, index + 1, 4), index, dtype=torch.uint8)
        return LabelledImage(pixels, torch.zeros(0, 4), torch.zeros(0).long())

    recent = RecentImages(image, 12 * room)
    kept: list[int] = []  # the last one is the most recent
    for index in indices:
        read.clear()
        assert recent(index).image.unique().tolist() == [index]
        assert read == ([] if index in kept else [index])
        if index in kept:
            kept.remove(index)
        if index + 1 <= room:
            kept.append(index)
        while sum(other + 1 for other in kept) > room:
            kept.pop(0)
