"""Brightness, contrast, saturation and hue are torchvision's, within one grey level for each change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from bench.pipeline.augmentation import photometric
from bench.pipeline.augmentation.photometric import ColorJitter
from bench.pipeline.augmentation.randomness import randomness_of

COLORS = torch.tensor(
    list(itertools.product((0, 1, 17, 64, 100, 128, 200, 254, 255), repeat=3)), dtype=torch.uint8
)
"""Greys, primaries, and colours with one or two equal channels."""

FACTORS = [
    *itertools.product(("brightness", "contrast", "saturation"), (0.0, 0.1, 0.75, 0.999, 1.25, 1.9)),
    *itertools.product(("hue",), (-0.5, -0.3, -0.01, 0.05, 0.2, 0.5)),
]


def image_of(colors: Tensor) -> Tensor:
    return colors.T.contiguous()[:, None]


def smooth_image() -> Tensor:
    """(3, 24, 32) without saturated pixels."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(32), indexing="ij")
    return torch.stack([80 + 2 * rows, 90 + columns, 150 - rows - columns]).to(torch.uint8)


@pytest.mark.parametrize(("name", "factor"), FACTORS)
def test_a_change_is_torchvisions(name, factor):
    image = image_of(COLORS)
    expected = getattr(functional, f"adjust_{name}")(image, factor)
    changed = image.clone()
    getattr(photometric, f"adjust_{name}")(changed.numpy().reshape(3, -1), factor)
    difference = (changed.int() - expected.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.02


def test_a_turn_by_a_third_of_the_circle_permutes_the_channels():
    pixels = image_of(COLORS).numpy().reshape(3, -1)
    turned = pixels.copy()
    photometric.adjust_hue(turned, 1 / 3)
    assert np.abs(turned.astype(int) - pixels[[2, 0, 1]]).max() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_random_changes_are_torchvisions_of_the_same_seed(seed):
    image = smooth_image()
    with randomness_of(seed):
        changed = ColorJitter(0.7, 0.3, 0.1)(image)
    with randomness_of(seed):
        expected = v2.RandomApply([v2.ColorJitter(0.3, 0.3, 0.3, 0.1)], 0.7)(image)
    # A grey level of each earlier change can grow to 1.3 by each later one.
    assert (changed.int() - expected.int()).abs().max() <= 4
    assert torch.equal(changed, image) == torch.equal(expected, image)


def test_the_given_image_is_unchanged():
    image = smooth_image()
    before = image.clone()
    for view in (image, image.permute(1, 2, 0).contiguous().permute(2, 0, 1), image.flip(2)[:, ::2]):
        with randomness_of(1):
            changed = ColorJitter(1.0, 0.5, 0.5)(view)
        assert changed.shape == view.shape
        assert not torch.equal(changed, view)
    assert torch.equal(image, before)


@pytest.mark.parametrize("shape", [(3, 0, 0), (3, 1, 1), (3, 1, 7)])
def test_fault_29_tiny_images_are_changed(shape):
    image = torch.full(shape, 100, dtype=torch.uint8)
    for seed in range(5):
        with randomness_of(seed):
            assert ColorJitter(1.0, 0.9, 0.5)(image).shape == shape
