"""Changes of quality against SciPy, torchvision and statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchvision.transforms.v2 import functional

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation import image_quality
from bench.pipeline.augmentation.image_quality import degrade
from bench.pipeline.augmentation.randomness import randomness_of


def picture(size: tuple[int, int] = (24, 30)) -> Tensor:
    """A smooth image with noise, which does not use all values."""
    x = torch.linspace(40, 200, size[1]).expand(3, *size) + torch.tensor([0.0, 10, 20])[:, None, None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 10
    return (x + noise).clamp(0, 255).to(torch.uint8)


def changed(image: Tensor, seed: int = 0, **settings: Any) -> Tensor:
    with randomness_of(seed):
        return degrade(image, AugmentConfig.model_validate(settings))


def test_nothing_changes_and_nothing_is_drawn_by_default():
    image = picture()
    with randomness_of(0):
        before = torch.get_rng_state()
        assert degrade(image, AugmentConfig()) is image
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("sigma", [0.0, 1e-9, 0.2, 0.8, 1.5, 4.0])
@pytest.mark.parametrize("size", [(24, 30), (1, 1), (2, 5)])
def test_a_blur_is_scipys(sigma, size):
    image = picture(size)
    expected = image.numpy().astype(float)
    if sigma > 1e-6:
        reach = math.ceil(3 * sigma)
        expected = gaussian_filter(expected, (0, sigma, sigma), mode="nearest", radius=(0, reach, reach))
    found = image_quality._blur(image, sigma)
    # Half a grey value, and the rounding of sums in single precision.
    assert np.abs(found.numpy() - expected).max() <= 0.5 + 1e-3


def test_equalization_is_torchvisions_of_either_kind():
    image = picture()
    kinds = [functional.equalize_image(image), functional.autocontrast_image(image)]
    seen = set()
    for seed in range(12):
        found = changed(image, seed, equalize=1)
        distances = [int((found.int() - kind.int()).abs().max()) for kind in kinds]
        seen.add(int(np.argmin(distances)))
        assert min(distances) <= 1
    assert seen == {0, 1}


def test_noise_has_its_standard_deviation_and_no_mean():
    image = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    noise = image_quality._noise(image, 8.0).float() - 128
    assert noise.mean().item() == pytest.approx(0, abs=5 * 8 / math.sqrt(noise.numel()))
    # Rounding adds the variance 1 / 12.
    assert noise.std().item() == pytest.approx(math.sqrt(64 + 1 / 12), rel=0.02)
    assert len(image_quality._noise(image, 0.0).unique()) == 1


def test_grey_images_have_three_equal_channels():
    found = changed(picture(), gray=1)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_lower_qualities_of_jpeg_are_further_from_the_image():
    image = picture((64, 64))
    errors = [
        (image_quality._compress(image, quality).float() - image).abs().mean() for quality in (95, 50, 10)
    ]
    assert 0 < errors[0] < errors[1] < errors[2] < 20


@pytest.mark.parametrize("name", ["equalize", "gray", "blur", "noise", "jpeg"])
def test_probabilities_are_kept(name):
    image = picture((8, 8))
    count = sum(changed(image, seed, **{name: 0.3}) is not image for seed in range(300))
    assert count / 300 == pytest.approx(0.3, abs=0.08)  # three standard deviations
