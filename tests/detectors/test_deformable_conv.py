"""Deformable convolutions: plain ones at first, shifted ones by closed form, and in the head of every variant that has towers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detectors.deformable_conv import DeformableConv
from detectors.graph.candidates import graph_source
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics.errors import InputError

WITH_TOWERS = ("atss", "detr", "dual", "fcos", "gfl", "retinanet")
TARGETS = [
    Targets(torch.tensor([[6.0, 8, 40, 44]]), torch.tensor([1])),
    Targets(torch.zeros(0, 4), torch.zeros(0).long()),
]


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return DeformableConv(4, 6)


def test_it_starts_as_the_plain_convolution(layer):
    x = torch.randn(2, 4, 7, 9)
    torch.testing.assert_close(layer(x), layer.conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("down", "right"), [(0, 1), (2, 0), (-1, 1)])
def test_equal_offsets_shift_the_input(layer, down, right):
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        layer.places.bias[0:18:2] = down
        layer.places.bias[1:18:2] = right
    shifted = F.pad(x, (2, 2, 2, 2))[..., 2 + down : 10 + down, 2 + right : 10 + right]
    inside = (..., slice(3, 5), slice(3, 5))  # where no tap reads beyond the border
    torch.testing.assert_close(layer(x)[inside], layer.conv(shifted)[inside], rtol=1e-4, atol=1e-5)


def test_half_an_offset_is_the_mean_of_two_cells(layer):
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        layer.places.bias[1:18:2] = 0.5
    right = F.pad(x, (0, 1))[..., 1:]
    inside = (..., slice(2, 6), slice(2, 6))
    torch.testing.assert_close(layer(x)[inside], layer.conv((x + right) / 2)[inside], rtol=1e-4, atol=1e-5)


def test_the_modulation_multiplies_what_is_read(layer):
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        layer.conv.bias.zero_()
        layer.places.bias[18:] = torch.logit(torch.tensor(0.25))
    torch.testing.assert_close(layer(x), 0.5 * layer.conv(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WITH_TOWERS)
def test_every_variant_with_towers_learns_places(name):
    torch.manual_seed(0)
    variant = VARIANTS[name]
    tree = {"backbone": {"base_channel": 4}, "head": {"channels": 16, "conv": "deformable"}}
    detector = variant.build(variant.config.model_validate(tree), 3)
    layers = [layer for layer in detector.modules() if isinstance(layer, DeformableConv)]
    assert layers
    output = detector(torch.rand(2, 3, 64, 64))
    sum(detector.losses(output, TARGETS).values()).backward()
    assert any(
        layer.places.weight.grad is not None and layer.places.weight.grad.abs().sum() > 0 for layer in layers
    )
    assert len(detector.eval().predict(torch.rand(1, 3, 64, 64))) == 1


def test_export_is_refused():
    variant = VARIANTS["fcos"]
    detector = variant.build(
        variant.config.model_validate(
            {"backbone": {"base_channel": 4}, "head": {"channels": 8, "conv": "deformable"}}
        ),
        3,
    )
    with pytest.raises(InputError, match=r"head\.conv=deformable: cannot be exported"):
        graph_source(detector.eval(), (64, 64))
