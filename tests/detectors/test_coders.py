"""Box coders: decoding inverts encoding."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder as TorchvisionDeltas
from torchvision.models.detection._utils import BoxLinearCoder

from detectors.coders import DeltaCoder, DistanceCoder, DistributionCoder, FractionCoder


def some_boxes(n: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    low = torch.rand(n, 2, generator=draw) * 200 - 50
    return torch.cat([low, low + 1 + torch.rand(n, 2, generator=draw) * 150], dim=1)


@pytest.mark.parametrize("variances", [(1.0, 1.0), (0.1, 0.2)])
def test_deltas_are_torchvisions(variances):
    centre, size = variances
    theirs = TorchvisionDeltas((1 / centre, 1 / centre, 1 / size, 1 / size))
    ours, boxes, priors = DeltaCoder(centre, size), some_boxes(50), some_boxes(50, 1)
    torch.testing.assert_close(
        ours.encode(boxes, priors), theirs.encode_single(boxes, priors), rtol=1e-4, atol=1e-5
    )
    codes = torch.randn(50, 4) * 3
    torch.testing.assert_close(
        ours.decode(codes, priors), theirs.decode_single(codes, priors), rtol=1e-4, atol=1e-3
    )


def test_delta_of_a_box_one_width_to_the_right_and_twice_as_high():
    prior, box = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[10.0, -5, 20, 15]])
    expected = torch.tensor([[10.0, 0, 0, math.log(2) / 0.2]])
    torch.testing.assert_close(DeltaCoder(0.1, 0.2).encode(box, prior), expected)


def test_distances_are_torchvisions():
    centre = some_boxes(30)[:, :2]
    priors = torch.cat([centre - 8, centre + 8], dim=1)
    boxes = some_boxes(30, 2)
    theirs = BoxLinearCoder(normalize_by_size=True)
    ours = DistanceCoder("relu")
    torch.testing.assert_close(ours.encode(boxes, priors), theirs.encode(priors, boxes), rtol=1e-4, atol=1e-5)
    codes = torch.rand(30, 4) * 5
    torch.testing.assert_close(ours.decode(codes, priors), theirs.decode(codes, priors), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "coder",
    [
        DeltaCoder(),
        DeltaCoder(0.1, 0.2),
        DistanceCoder("exp"),
        DistanceCoder("relu"),
        DistributionCoder(16),
        FractionCoder("xyxy"),
        FractionCoder("cxcywh"),
    ],
)
@given(seed=st.integers(0, 1000))
def test_decoding_inverts_encoding(coder, seed):
    draw = torch.Generator().manual_seed(seed)
    centre = torch.rand(8, 2, generator=draw) * 100
    stride = 2.0 ** torch.randint(3, 6, (8, 1), generator=draw)
    priors = torch.cat([centre - stride / 2, centre + stride / 2], dim=1)
    reach = 0.05 + torch.rand(8, 4, generator=draw) * 10  # centres lie inside the boxes
    boxes = torch.cat([centre - reach[:, :2] * stride, centre + reach[:, 2:] * stride], dim=1)
    torch.testing.assert_close(coder.decode(coder.encode(boxes, priors), priors), boxes, rtol=1e-3, atol=1e-2)


def test_fractions_of_the_left_upper_quarter():
    prior, box = torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[10.0, 20, 20, 40]])
    assert FractionCoder("xyxy").encode(box, prior).tolist() == [[0, 0, 0.5, 0.5]]
    assert FractionCoder("cxcywh").encode(box, prior).tolist() == [[0.25, 0.25, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("box_format", "code"), [("xyxy", [0.5, 1.0, 0.0, 0.0]), ("cxcywh", [0.25, 0.5, -0.5, -1.0])]
)
def test_fractions_in_the_wrong_order_decode_to_a_box_in_order(box_format, code):
    decoded = FractionCoder(box_format).decode(torch.tensor([code]), torch.tensor([[0.0, 0, 10, 20]]))
    assert decoded.tolist() == [[0, 0, 5, 20]]


def test_wild_deltas_decode_to_finite_boxes():
    wild = torch.tensor([[1e3, -1e3, 1e4, 1e4]])
    for coder in (DeltaCoder(), DistanceCoder("exp"), DistanceCoder("relu"), DistributionCoder(4)):
        codes = wild.repeat(1, coder.channels // 4)
        assert coder.decode(codes, torch.tensor([[0.0, 0, 8, 8]])).isfinite().all()


def test_degenerate_boxes_have_finite_deltas():
    point = torch.tensor([[5.0, 5, 5, 5]])
    assert DeltaCoder().encode(point, torch.tensor([[0.0, 0, 8, 8]])).isfinite().all()
    assert DeltaCoder().encode(torch.tensor([[0.0, 0, 8, 8]]), point).isfinite().all()


def test_a_distribution_on_one_bin_is_that_distance():
    logits = torch.full((1, 4, 9), -100.0)
    logits[0, :, 3] = 100
    box = DistributionCoder(8).decode(logits.view(1, -1), torch.tensor([[0.0, 0, 8, 8]]))
    torch.testing.assert_close(box, torch.tensor([[4.0 - 24, 4 - 24, 4 + 24, 4 + 24]]))


@pytest.mark.parametrize(
    "coder", [DeltaCoder(0.1, 0.2), DistanceCoder("exp"), DistributionCoder(4), FractionCoder("cxcywh")]
)
def test_decoding_has_the_gradient_that_it_claims(coder):
    priors = torch.tensor([[0.0, 0, 8, 8], [3, 5, 19, 21]], dtype=torch.float64)
    codes = torch.randn(2, coder.channels, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: coder.decode(c, priors), codes)
