"""Deformable convolutions: plain ones at first, shifted ones by closed form, and in the head of every variant that has towers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from detectors.backbones import make_backbone
from detectors.backbones.build import BackboneConfig
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
    return DeformableConv(nn.Conv2d(4, 6, 3, padding=1))


def test_it_starts_as_the_plain_convolution(layer):
    x = torch.randn(2, 4, 7, 9)
    torch.testing.assert_close(layer(x), layer.conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("down", "right"), [(0, 1), (2, 0), (-1, 1)])
def test_equal_offsets_shift_the_input(layer, down, right):
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        layer.places.bias[0:18:2] = down / layer.RATE
        layer.places.bias[1:18:2] = right / layer.RATE
    shifted = F.pad(x, (2, 2, 2, 2))[..., 2 + down : 10 + down, 2 + right : 10 + right]
    inside = (..., slice(3, 5), slice(3, 5))  # where no tap reads beyond the border
    torch.testing.assert_close(layer(x)[inside], layer.conv(shifted)[inside], rtol=1e-4, atol=1e-5)


def test_half_an_offset_is_the_mean_of_two_cells(layer):
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        layer.places.bias[1:18:2] = 0.5 / layer.RATE
    right = F.pad(x, (0, 1))[..., 1:]
    inside = (..., slice(2, 6), slice(2, 6))
    torch.testing.assert_close(layer(x)[inside], layer.conv((x + right) / 2)[inside], rtol=1e-4, atol=1e-5)


def test_the_modulation_multiplies_what_is_read(layer):
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        layer.conv.bias.zero_()
        layer.places.bias[18:] = torch.logit(torch.tensor(0.25)) / layer.RATE
    torch.testing.assert_close(layer(x), 0.5 * layer.conv(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2), (2, 3)])
def test_stride_and_dilation_are_those_of_the_convolution(stride, dilation):
    torch.manual_seed(0)
    layer = DeformableConv(nn.Conv2d(4, 6, 3, stride, padding=dilation, dilation=dilation))
    x = torch.randn(2, 4, 11, 9)
    torch.testing.assert_close(layer(x), layer.conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "count"), [("resnet18", 12), ("resnet50", 13), ("mb_tiny", None)])
def test_a_backbone_starts_as_the_plain_one(name, count):
    """ResNet's stages conv3 to conv5 have 12 and 13 convolutions of 3 x 3 (Zhu et al. 2019, section 3.1, have 12 in ResNet-50:
    torchvision's has the stride in the 3 x 3 convolution of each stage, so that all have it).
    """
    make_backbone(BackboneConfig(name=name))  # the first one traces another network, which draws weights, too
    backbones = []
    for start in (None, 8):
        torch.manual_seed(0)
        backbones.append(make_backbone(BackboneConfig(name=name, deformable_from=start)).eval())
    plain, deformable = backbones
    layers = [layer for layer in deformable.modules() if isinstance(layer, DeformableConv)]
    assert len(layers) == count if count else layers
    images = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        for ours, theirs in zip(deformable(images), plain(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_only_stages_from_the_given_stride_are_deformable():
    plain = make_backbone(BackboneConfig(name="resnet18", deformable_from=32))
    names = [name for name, layer in plain.named_modules() if isinstance(layer, DeformableConv)]
    assert {name.split(".")[1] for name in names} == {"layer4"}
    assert len(names) == 4


def test_a_network_without_such_convolutions_is_refused():
    with pytest.raises(InputError, match=r"mobilenet_v3_small has no 3 x 3 convolutions in one group"):
        make_backbone(BackboneConfig(name="mobilenet_v3_small", deformable_from=16))


def test_frozen_stages_cannot_be_deformable():
    with pytest.raises(ValidationError, match=r"frozen_stages=3 does not train"):
        BackboneConfig(name="resnet18", deformable_from=8, frozen_stages=3)
    BackboneConfig(name="resnet18", deformable_from=16, frozen_stages=3)


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


def test_offsets_move_slowly_under_adam():
    """By less than half a cell in 20 steps; unscaled, they move by many cells, and the detector does not learn."""
    torch.manual_seed(0)
    variant = VARIANTS["gfl"]
    tree = {"backbone": {"base_channel": 4}, "head": {"conv": "deformable"}}
    detector = variant.build(variant.config.model_validate(tree), 3)
    moved: list[float] = []
    for layer in detector.modules():
        if isinstance(layer, DeformableConv):
            layer.places.register_forward_hook(
                lambda layer, _, output: moved.append(
                    DeformableConv.RATE * output[:, :18].detach().abs().mean().item()
                )
            )
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    images = torch.rand(2, 3, 64, 64)
    for _ in range(20):
        optimizer.zero_grad()
        sum(detector.losses(detector(images), TARGETS).values()).backward()
        optimizer.step()
    detector(images)
    assert 0 < max(moved) < 0.5


def test_export_is_refused():
    variant = VARIANTS["fcos"]
    detector = variant.build(
        variant.config.model_validate(
            {"backbone": {"base_channel": 4}, "head": {"channels": 8, "conv": "deformable"}}
        ),
        3,
    )
    with pytest.raises(
        InputError, match=r"head\.conv=deformable and backbone\.deformable_from: cannot be exported"
    ):
        graph_source(detector.eval(), (64, 64))
