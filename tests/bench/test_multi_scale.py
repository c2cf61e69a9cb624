"""Multi-scale training: the size of a batch is a function of seed, epoch and batch, and targets are of that size."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from killing_log import Killed, KillingLog
from tiny_data import split_of
from tiny_runs import tiny_config

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.input_sizes import draw_size, sizes_around
from bench.pipeline.loader import make_loader
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.training.loop import train
from metrics.errors import InputError


def test_sizes_in_closed_form():
    assert sizes_around((320, 320), 0.2) == tuple((side, side) for side in (256, 288, 320, 352, 384))
    assert sizes_around((160, 320), 0.1) == ((160, 288), (160, 320), (192, 352))  # 144 and 176 are halfway
    assert sizes_around((300, 300), 0.0) == ((288, 288),)
    assert sizes_around((64, 8), 0.5) == ((32, 32), (64, 32), (96, 32))


@given(st.tuples(st.integers(8, 1500), st.integers(8, 1500)), st.floats(0.0, 0.75))
def test_sizes_are_multiples_within_the_range(size, spread):
    found = sizes_around(size, spread)
    assert all(side % 32 == 0 and side > 0 for pair in found for side in pair)
    longest = max(size)
    sides = [max(pair) for pair in found]
    expected = [s for s in range(32, 2 * 1500, 32) if longest * (1 - spread) <= s <= longest * (1 + spread)]
    assert sides == expected or (not expected and len(sides) == 1)


def test_sizes_are_equally_likely_and_drawn_for_each_batch_and_epoch():
    sizes = sizes_around((96, 96), 0.7)
    drawn = [[draw_size(sizes, 5, epoch, batch) for batch in range(100)] for epoch in range(10)]
    counts = Counter(size for epoch in drawn for size in epoch)
    expected = 1000 / len(sizes)
    chi_square = sum((counts[size] - expected) ** 2 / expected for size in sizes)
    assert len(sizes) == 5
    assert chi_square < 18.5  # 0.1 % of the distribution with 4 degrees of freedom
    assert len({tuple(epoch) for epoch in drawn}) == 10
    assert drawn[3][7] == draw_size(sizes, 5, 3, 7)


def batches(**more):
    """Images of 40x40 with an object that fills the image, so that its box is that of the image in the input."""
    pixels = [np.full((40, 40, 3), 40 * k, np.uint8) for k in range(6)]
    split = split_of(pixels, [[(0, (0, 0, 40, 40))]] * 6)
    settings = {"batch_size": 2, "seed": 1, "shuffle": True, "multi_scale": 0.7} | more
    return make_loader(split, ImageConfig(size=(96, 96)), AugmentConfig(iou_crop=0, zoom_out=0), **settings)


def test_images_and_targets_have_the_size_of_their_batch():
    loader, sizes = batches(), set()
    for epoch in range(4):
        for number, batch in enumerate(loader):
            size = tuple(batch.images.shape[2:])
            assert size == draw_size(sizes_around((96, 96), 0.7), 1, epoch, number)
            sizes.add(size)
            for target in batch.targets:
                assert target.boxes.tolist() == [[0, 0, size[1], size[0]]]
            assert batch.placement.scale.tolist() == [[size[1] / 40, size[0] / 40]] * 2
    assert len(sizes) > 2


def test_workers_resuming_and_processes_draw_the_same_sizes():
    def shapes(loader):
        return [tuple(batch.images.shape[2:]) for batch in loader]

    whole = shapes(batches())
    resumed = batches()
    resumed.state = (0, 1)
    assert shapes(resumed) == whole[1:]
    assert shapes(batches(workers=1)) == whole
    for rank in range(2):
        assert shapes(batches(rank=rank, world=2)) == whole


def trained(folder, log=None, variant="ssd", spread=0.5, **settings):
    config = tiny_config(
        variant, data__train=8, train__epochs=1, train__multi_scale=spread, train__checkpoint_minutes=1e-9,
        train__batch=2, **settings,
    )  # fmt: skip
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    train(detector, dataset.splits["train"], dataset.splits["val"], config, folder, log=log)
    return detector.state_dict()


def test_an_interrupted_training_is_the_same(tmp_path):
    whole = trained(tmp_path / "whole")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", KillingLog(2))
    resumed = trained(tmp_path / "killed")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_a_network_that_needs_larger_images_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        trained(tmp_path, levels=6, unpadded=2, image__size="320,320")
    text = str(caught.value)
    assert text.startswith(
        "train.multi_scale=0.5: ssd with these settings has no output for images of 160x160 ("
    )
    assert text.endswith("); lower it, or leave it at 0")
    assert "\n" not in text


@pytest.mark.parametrize("side", [32, 128])
def test_an_input_that_is_too_small_for_the_network_is_refused_with_advice_that_works(side, tmp_path):
    sets = {"levels": 6, "unpadded": 2, "spread": 0}
    with pytest.raises(InputError, match=f"^image.size={side},{side}: ssd .*no output .*; use a larger one$"):
        trained(tmp_path / "small", **sets, image__size=f"{side},{side}")
    trained(tmp_path / "large", **sets, image__size="288,288")
