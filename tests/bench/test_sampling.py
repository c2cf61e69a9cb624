"""How often images are used in an epoch: formulas of the papers, and orders that depend on seed and epoch alone."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import split_of

from bench.cli import main
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import images_per_epoch, make_loader
from bench.pipeline.sampling import SamplingConfig, draw_images, expected_uses
from metrics.errors import InputError

IMAGES = st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=12)


def uses_of(images: list[list[int]], **settings) -> np.ndarray:
    labels = np.array([label for image in images for label in image], np.int64)
    first = np.cumsum([0, *map(len, images)])
    return expected_uses(labels, first, SamplingConfig(**settings))


def test_the_repeat_factor_of_lvis_in_closed_form():
    """Class 1 is in 1 of 8 images and t is 1/2: sqrt((1/2) / (1/8)) = 2. A second object of the class changes nothing."""
    images = [[0]] * 6 + [[0, 1, 1], []]
    assert uses_of(images, rule="repeat", threshold=0.5).tolist() == [1] * 6 + [2, 1]


@given(IMAGES, st.sampled_from([0.01, 0.3, 0.9]))
def test_the_repeat_factor_is_that_of_the_rarest_class(images, threshold):
    found = uses_of(images, rule="repeat", threshold=threshold)
    fraction = {c: sum(c in image for image in images) / len(images) for c in range(4)}
    expected = [max([1.0] + [math.sqrt(threshold / fraction[label]) for label in image]) for image in images]
    assert found.sum() == pytest.approx(math.ceil(sum(expected) - 1e-6), abs=1e-9)
    assert found / found.sum() == pytest.approx(np.array(expected) / sum(expected))


def test_balanced_sampling_in_closed_form():
    """Each of 4 draws: class 0 with 1/2, one of its 3 images with 1/3; class 1 with 1/2, its only image."""
    images = [[0], [0, 0], [0], [1], []]
    assert uses_of(images, rule="balanced").tolist() == pytest.approx([2 / 3] * 3 + [2, 1])


@given(IMAGES)
def test_balanced_sampling_is_the_chance_of_drawing_a_class_and_then_an_image(images):
    found = uses_of(images, rule="balanced")
    classes = sorted({label for image in images for label in image})
    with_objects = sum(map(bool, images))
    for image, uses in zip(images, found, strict=True):
        chances = [1 / len(classes) / sum(c in other for other in images) for c in set(image)]
        assert uses == pytest.approx(sum(chances) * with_objects if image else 1)


@pytest.mark.parametrize("rule", ["each", "balanced"])
@pytest.mark.parametrize(("share", "of_empty"), [(0.5, 2), (0.2, 0.5), (0.0, 0)])
def test_the_share_of_images_without_objects(rule, share, of_empty):
    found = uses_of([[0], [0], [1], [1], [], []], rule=rule, background=share)
    assert found.tolist() == pytest.approx([1] * 4 + [of_empty] * 2)


@pytest.mark.parametrize(("images", "which"), [([[0], [1]], "with"), ([[], []], "without")])
def test_a_share_that_cannot_be_reached_is_refused(images, which):
    message = f"train.sampling.background=0.25: all training images are {which} objects; leave it at none"
    with pytest.raises(InputError) as caught:
        uses_of(images, background=0.25)
    assert str(caught.value) == message


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_images_are_rounded_up_or_down_and_right_on_average(tenths, random):
    """Of all offsets k / 10, which are all that matter for uses in tenths."""
    tenths[0] += -sum(tenths) % 10
    uses = np.array(tenths) / 10
    shuffled = np.array(random.sample(range(len(uses)), len(uses)))
    total = np.zeros(len(uses))
    for k in range(10):
        drawn = draw_images(uses, shuffled, k / 10 + 0.05)
        counts = np.bincount(drawn, minlength=len(uses))
        assert len(drawn) == sum(tenths) // 10
        assert (counts >= np.floor(uses)).all()
        assert (counts <= np.ceil(uses)).all()
        total += counts
    assert total.tolist() == tenths


def rare_split():
    """Eight images; the last has the rare class, the first has no object."""
    pixels = [np.random.default_rng(k).integers(0, 255, (24, 24, 3), np.uint8) for k in range(8)]
    objects = [[], *([[(0, (2, 2, 20, 20))]] * 6), [(1, (4, 4, 16, 16))]]
    return split_of(pixels, objects)


def loader(**more):
    sampling = SamplingConfig(rule="repeat", threshold=0.9)
    settings = {"batch_size": 4, "seed": 3, "shuffle": True, "sampling": sampling} | more
    return make_loader(rare_split(), ImageConfig(size=(24, 24)), AugmentConfig(flip=0.5), **settings)


def test_an_epoch_repeats_rare_images_in_an_order_of_its_own():
    """R = sqrt(0.9 * 8 / 6) = 1.095 for six images, sqrt(0.9 * 8) = 2.68 for the last, 1 for the first: 10.26, so 11."""
    batches = loader()
    epochs = [[int(k) for batch in batches for k in batch.index] for _ in range(5)]
    counts = [Counter(epoch) for epoch in epochs]
    assert [len(epoch) for epoch in epochs] == [11] * 5
    assert len({tuple(epoch) for epoch in epochs}) == 5
    for count in counts:
        assert 2 <= count[7] <= 3
        assert all(1 <= count[k] <= 2 for k in range(7))


def test_a_repeated_image_is_augmented_again_and_its_first_use_is_that_without_repeats():
    pictures: dict[int, list[bytes]] = {}
    for batch in loader():
        for k, image in zip(batch.index.tolist(), batch.images, strict=True):
            pictures.setdefault(k, []).append(image.numpy().tobytes())
    assert len(set(pictures[7])) == len(pictures[7]) > 1
    for batch in loader(sampling=None):
        for k, image in zip(batch.index.tolist(), batch.images, strict=True):
            assert pictures[k][0] == image.numpy().tobytes()


def test_a_resumed_loader_and_the_processes_of_a_run_use_the_same_images():
    def content(batches):
        return [(batch.index.tolist(), batch.images.numpy().tobytes()) for batch in batches]

    whole = content(loader())
    resumed = loader()
    resumed.state = (0, 1)
    assert content(resumed) == whole[1:]
    assert content(loader(workers=1)) == whole
    parts = [[batch.index for batch in loader(rank=rank, world=2)] for rank in range(2)]
    for (indices, _), own, other in zip(whole, *parts, strict=True):
        assert sorted([*own.tolist(), *other.tolist()]) == sorted(indices)


@pytest.mark.parametrize("rule", ["each", "repeat", "balanced"])
@pytest.mark.parametrize("background", [None, 0.5])
def test_the_images_of_an_epoch_are_those_that_the_loader_yields(rule, background):
    sampling = SamplingConfig(rule=rule, threshold=0.9, background=background)
    assert images_per_epoch(rare_split(), sampling) == sum(map(len, loader(sampling=sampling)))


def test_the_default_uses_each_image_once():
    batches = loader(sampling=SamplingConfig())
    plain = loader(sampling=None)
    for one, other in zip(batches, plain, strict=True):
        assert one.index.equal(other.index)
        assert one.images.equal(other.images)


def test_sampling_is_a_section_of_the_settings(capsys):
    words = ["run", "--variant", "ssd", "--show-config", "--set"]
    assert main([*words, "train.sampling.rule=repeat", "train.sampling.background=0.3"]) == 0
    shown = capsys.readouterr().out
    assert 'rule = "repeat"' in shown
