"""Necks: strides and channels of the levels, and the inputs of coarser levels."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from detectors.necks.fpn import FPN
from detectors.necks.pan import PAN

STRIDES, CHANNELS = (8, 16, 32), (8, 16, 24)


def features(side: int = 75) -> list[torch.Tensor]:
    return [torch.rand(2, c, -(-side // s), -(-side // s)) for c, s in zip(CHANNELS, STRIDES, strict=True)]


@pytest.mark.parametrize("kind", [FPN, PAN])
@pytest.mark.parametrize("coarser", ["pyramid", "backbone", "pool"])
@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_levels_have_the_stated_strides_and_channels(kind, coarser, levels):
    neck = kind(CHANNELS, STRIDES, 12, levels, coarser)
    given = features()
    before = [feature.clone() for feature in given]
    found = neck(given)
    assert neck.strides == (8, 16, 32, 64, 128)[:levels]
    assert [level.shape for level in found] == [(2, 12, -(-75 // s), -(-75 // s)) for s in neck.strides]
    assert all(a.equal(b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize(
    ("coarser", "extra"),
    [
        ("pyramid", LastLevelP6P7(12, 12)),
        ("backbone", LastLevelP6P7(CHANNELS[-1], 12)),
        ("pool", LastLevelMaxPool()),
    ],
)
def test_coarser_levels_are_torchvisions(coarser, extra):
    levels = 4 if coarser == "pool" else 5
    ours = FPN(CHANNELS, STRIDES, 12, levels, coarser)
    theirs = FeaturePyramidNetwork(list(CHANNELS), 12, extra)
    state = dict(ours.pyramid.state_dict())
    for number, layer in enumerate(ours.coarser):
        state |= {f"extra_blocks.p{6 + number}.{key}": t for key, t in layer.state_dict().items()}
    theirs.load_state_dict(state)
    given = features()
    expected = theirs({str(k): feature for k, feature in enumerate(given)})
    for level, reference in zip(ours(given), expected.values(), strict=True):
        torch.testing.assert_close(level, reference)


def test_pan_is_its_formula():
    """N_{i+1} = conv(P_{i+1} + stride-2 conv(N_i)), each with a ReLU (Liu et al. 2018, section 3.1)."""
    neck = PAN(CHANNELS, STRIDES, 12, 3)
    given = features(64)
    pyramid = neck.pyramid(given)
    expected = [pyramid[0]]
    for k in (0, 1):
        down = nn.functional.conv2d(expected[-1], neck.down[k].weight, neck.down[k].bias, 2, 1).relu()
        merged = nn.functional.conv2d(pyramid[k + 1] + down, neck.merge[k].weight, neck.merge[k].bias, 1, 1)
        expected.append(merged.relu())
    for level, reference in zip(neck(given), expected, strict=True):
        torch.testing.assert_close(level, reference)
