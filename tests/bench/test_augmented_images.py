"""Augmentation as a whole: boxes within the input, tiny images, and the same images whatever loads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from augmented_samples import ALONE, EVERYTHING, config, same, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_label_maps import FILL, masked_split
from tiny_data import split_of

from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.pipeline.objects import IGNORED_REGION
from bench.pipeline.order import Use
from bench.settings.sections import TrainConfig
from bench.training.checkpoint import Position
from bench.training.length import training_length
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED


def test_mixup_keeps_all_objects_of_both_images(masked):
    augmented = samples(masked, ImageConfig(size=(48, 64)), mixup=1)
    for index in range(6):
        assert len(augmented[Use(0, index)].labels) == 8


@pytest.fixture(scope="module")
def masked() -> Split:
    return masked_split(6)


@pytest.mark.parametrize("name", ALONE)
def test_boxes_are_within_the_input_and_label_maps_have_its_size(name, masked):
    image = ImageConfig(size=(40, 56), fill=FILL)
    augmented = samples(masked, image, True, **ALONE[name])
    for epoch in range(4):
        for index in range(6):
            sample = augmented[Use(epoch, index)]
            assert sample.pixels.shape == (3, 40, 56)
            assert sample.pixels.dtype == torch.uint8
            assert sample.label_map is not None
            assert sample.label_map.shape == (40, 56)
            assert set(sample.label_map.unique().tolist()) <= {0, 1, 2, 3, 4, IGNORED}
            assert set(sample.labels.tolist()) <= {IGNORED_REGION, 0, 1, 2, 3}
            assert (sample.boxes >= 0).all()
            assert (sample.boxes <= torch.tensor([56.0, 40, 56, 40])).all()
            assert (sample.boxes[:, 2:] - sample.boxes[:, :2] >= 2).all()


@pytest.mark.parametrize("name", ALONE)
def test_a_label_map_changes_neither_pixels_nor_boxes(name, masked):
    image = ImageConfig(size=(40, 56))
    with_maps, alone = (samples(masked, image, maps, **ALONE[name]) for maps in (True, False))
    for index in range(6):
        assert same(with_maps[Use(1, index)], alone[Use(1, index)])


sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


@st.composite
def tiny_splits(draw: st.DrawFn) -> Split:
    """One to three images of a few pixels, with at most three objects of any position and size."""
    images, objects = [], []
    for height, width in draw(st.lists(sizes, min_size=1, max_size=3)):
        images.append(np.full((height, width, 3), draw(st.integers(0, 255)), np.uint8))
        found = []
        for _ in range(draw(st.integers(0, 3))):
            left, right = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
            top, bottom = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
            found.append((draw(st.integers(0, 1)), (left, top, right, bottom)))
        objects.append(found)
    return split_of(images, objects)


@settings(max_examples=40)
@given(
    tiny_splits(),
    st.tuples(st.integers(8, 20), st.integers(8, 20)),
    st.sampled_from(["letterbox", "stretch"]),
    st.integers(0, 1000),
)
def test_fault_29_any_tiny_images_are_augmented(split, size, resize, epoch):
    image = ImageConfig(size=size, resize=resize)
    augmented = samples(split, image, **EVERYTHING, min_side=1)
    for index in range(len(split)):
        sample = augmented[Use(epoch, index)]
        assert sample.pixels.shape == (3, *size)
        assert len(sample.boxes) == len(sample.labels)
        assert (sample.boxes >= 0).all()
        assert (sample.boxes <= torch.tensor([size[1], size[0]] * 2)).all()
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
        assert same(sample, augmented[Use(epoch, index)])


def contents(
    split: Split, batch_size: int, workers: int, start: tuple[int, int] = (0, 0)
) -> dict[Any, bytes]:
    """Pixels and boxes of every image in two epochs, from a batch on."""
    loader = make_loader(
        split,
        ImageConfig(size=(40, 56)),
        config(**EVERYTHING),
        batch_size,
        5,
        workers,
        shuffle=True,
    )
    loader.close_mosaic_when(lambda epoch, batch: epoch == 1)
    loader.state = start
    found = {}
    for epoch in range(start[0], 2):
        for batch in loader:
            for k, index in enumerate(batch.index.tolist()):
                boxes = batch.targets[k].boxes.numpy().tobytes()
                found[epoch, index] = batch.images[k].numpy().tobytes() + boxes
    return found


def test_an_augmented_image_depends_on_seed_epoch_and_image_alone(masked):
    whole = contents(masked, 6, 0)
    assert len(whole) == 12
    assert contents(masked, 4, 0) == whole
    assert contents(masked, 4, 2) == whole
    resumed = contents(masked, 4, 0, start=(0, 1))
    assert len(resumed) == 8
    assert resumed.items() <= whole.items()
    assert len({whole[epoch, index] for epoch in range(2) for index in range(6)}) == 12


def test_closing_batches_have_no_images_of_several_images(masked):
    image = ImageConfig(size=(48, 64))
    for change in ("mosaic", "mixup", "copy_paste"):
        plain = samples(masked, image)
        changed = samples(masked, image, **{change: 1})
        for alone in (False, True):
            uses = [Use(0, k, alone=alone) for k in range(6)]
            pixels = [(plain[use].pixels, changed[use].pixels) for use in uses]
            assert any(not torch.equal(*pair) for pair in pixels) != alone


@pytest.mark.parametrize(
    ("epochs", "share", "mixed"), [(10, 0.1, 9), (20, 0.25, 15), (1, 0.1, 1), (4, 1.0, 0)]
)
def test_close_mosaic_is_a_share_of_the_epochs(masked, epochs, share, mixed):
    settings = config(mixup=1, close_mosaic=share)
    loader = make_loader(masked, ImageConfig(size=(48, 64)), settings, 6, workers=0)
    length = training_length(TrainConfig(epochs=epochs), share, loader.batch_images, 1)
    loader.close_mosaic_when(lambda epoch, batch: length.is_closing(epoch, batch, Position()))
    counts = [
        sum(len(targets.labels) for batch in loader for targets in batch.targets) for _ in range(epochs)
    ]
    assert counts == [48] * mixed + [24] * (epochs - mixed)


def test_a_partner_that_cannot_be_read_is_the_same_error(masked):
    def load(index: int) -> NDArray[np.uint8]:
        if index == 3:
            raise InputError("c.png: truncated")
        return masked.load(index)

    augmented = samples(replace(masked, load=load), ImageConfig(size=(48, 64)), mosaic=1)
    with pytest.raises(InputError, match=r"^c\.png: truncated$"):
        [augmented[Use(epoch, 0)] for epoch in range(20)]


def test_images_without_objects_and_a_single_image_are_augmented():
    split = split_of([np.full((30, 40, 3), 90, np.uint8)], [[]])
    augmented = samples(split, ImageConfig(size=(32, 32)), **EVERYTHING)
    for epoch in range(20):
        assert len(augmented[Use(epoch, 0)].labels) == 0


def test_changes_that_are_off_draw_no_random_numbers(masked):
    """Numbers of settings without the new changes stay as they were."""
    image = ImageConfig(size=(48, 64))
    one = samples(masked, image, flip=0.5, iou_crop=0.5, photometric=0.5)
    strength = {"rotate": 30.0, "mosaic_scale": 0.2, "blur_sigma": 3.0, "paste_count": 9, "erase_count": 4}
    other = samples(masked, image, flip=0.5, iou_crop=0.5, photometric=0.5, **strength)
    for index in range(6):
        assert same(one[Use(0, index)], other[Use(0, index)])
