"""Contract of all dense variants: one row of raw output per prior, and a class and a box loss."""

from __future__ import annotations

import pytest
import torch
from raw_outputs import DENSE

from detectors.registry import VARIANTS
from detectors.types import DenseOutput, Targets


@pytest.fixture(params=DENSE)
def detector(request):
    variant = VARIANTS[request.param]
    return variant.build(variant.config(), 3)


@pytest.fixture
def images():
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def test_output_has_one_row_per_prior(detector, images):
    output = detector(images)
    assert isinstance(output, DenseOutput)
    priors = len(output.priors)
    assert output.logits.shape[:2] == output.codes.shape[:2] == (2, priors)
    assert sum(output.levels) == priors
    assert output.image_size == (128, 128)


def test_losses_are_of_classes_and_boxes(detector, images):
    targets = [Targets(torch.tensor([[12.0, 16, 60, 52]]), torch.tensor([0]))] * 2
    output = detector(images)
    names = {"class", "box"} if output.quality is None else {"class", "box", "quality"}
    if output.auxiliary is not None:
        names.add("auxiliary_class")
    assert detector.losses(output, targets).keys() == names


def test_raw_output_differs_between_images_in_logits_and_codes(detector, images):
    output = detector.eval()(images)
    for raw in (output.logits, output.codes):
        assert (raw[0] - raw[1]).abs().max() > 1e-3
