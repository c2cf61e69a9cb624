"""Box losses on codes and on boxes, compared with torchvision; distribution focal loss by its formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

from detectors.coders import DeltaCoder, DistanceCoder, DistributionCoder
from detectors.losses.box import OverlapLoss, SmoothL1Loss, box_loss
from detectors.losses.distribution import DistributionFocalLoss, SumOfLosses


@pytest.fixture
def positives():
    draw = torch.Generator().manual_seed(3)
    low = torch.rand(40, 2, generator=draw) * 60
    boxes = torch.cat([low, low + 4 + torch.rand(40, 2, generator=draw) * 60], dim=1)
    priors = boxes + torch.randn(40, 4, generator=draw)
    codes = torch.randn(40, 4, generator=draw)
    return codes, boxes, priors


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("giou", generalized_box_iou_loss), ("diou", distance_box_iou_loss), ("ciou", complete_box_iou_loss)],
)
def test_overlap_losses_equal_torchvisions(kind, theirs, positives):
    codes, boxes, priors = positives
    coder = DeltaCoder(0.1, 0.2)
    expected = theirs(coder.decode(codes, priors), boxes)
    torch.testing.assert_close(OverlapLoss(kind)(codes, boxes, priors, coder), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.11, 1.0])
def test_smooth_l1_is_torchs_on_codes(beta, positives):
    codes, boxes, priors = positives
    coder = DeltaCoder()
    expected = F.smooth_l1_loss(codes, coder.encode(boxes, priors), beta=beta, reduction="none").sum(dim=1)
    torch.testing.assert_close(SmoothL1Loss(beta)(codes, boxes, priors, coder), expected)


def test_smooth_l1_is_a_parabola_up_to_beta_and_then_a_line():
    prior = torch.tensor([[0.0, 0, 8, 8]])
    for d, expected in ((0.5, 0.5 * 0.25 / 2), (2.0, 1.0), (5.0, 4.0)):
        codes = torch.tensor([[d, 0, 0, 0]])
        assert SmoothL1Loss(2.0)(codes, prior, prior, DeltaCoder()).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["smooth_l1", "l1", "iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("coder", [DeltaCoder(0.1, 0.2), DistanceCoder("exp"), DistanceCoder("relu")])
def test_the_loss_of_the_correct_code_is_zero(kind, coder):
    prior, box = torch.tensor([[8.0, 8, 16, 16]]), torch.tensor([[2.0, 5, 30, 40]])
    codes = coder.encode(box, prior)
    assert box_loss(kind)(codes, box, prior, coder).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", ["smooth_l1", "iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("coder", [DeltaCoder(), DistanceCoder("exp")])
def test_the_gradient_of_a_box_loss_is_correct(kind, coder):
    priors = torch.tensor([[0.0, 0, 8, 8], [4, 4, 12, 12]], dtype=torch.float64)
    boxes = torch.tensor([[1.0, -2, 9, 7], [3, 3, 14, 15]], dtype=torch.float64)
    codes = (0.3 * torch.randn(2, 4, dtype=torch.float64)).requires_grad_()
    loss = box_loss(kind)
    if kind == "ciou":  # alpha is held constant, so the numeric gradient is another one
        loss(codes, boxes, priors, coder).sum().backward()
        assert codes.grad.isfinite().all()
    else:
        assert torch.autograd.gradcheck(lambda c: loss(c, boxes, priors, coder), codes)


@pytest.mark.parametrize("kind", ["smooth_l1", "l1", "iou", "giou", "diou", "ciou"])
def test_the_loss_without_positives_is_zero_and_keeps_the_graph(kind):
    codes = torch.zeros(0, 4, requires_grad=True)
    cost = box_loss(kind)(codes, torch.zeros(0, 4), torch.zeros(0, 4), DeltaCoder())
    assert cost.shape == (0,)
    cost.sum().backward()


def test_a_distribution_can_be_taught_by_overlap():
    coder = DistributionCoder(8)
    codes = torch.randn(3, coder.channels, dtype=torch.float64, requires_grad=True)
    priors = torch.tensor([[8.0, 8, 16, 16]], dtype=torch.float64).repeat(3, 1)
    boxes = torch.tensor([[2.0, 5, 30, 40]], dtype=torch.float64).repeat(3, 1)
    assert torch.autograd.gradcheck(lambda c: OverlapLoss("giou")(c, boxes, priors, coder), codes)


def test_distribution_focal_loss_is_equation_6():
    coder, prior = DistributionCoder(4), torch.tensor([[0.0, 0, 8, 8]])
    box = torch.tensor([[4.0 - 8 * 1.25, 4 - 8 * 2, 4 + 8 * 0.5, 4 + 8 * 4]])  # 1.25, 2, 0.5 and 4 strides
    codes = torch.randn(1, coder.channels)
    logs = codes.view(4, 5).log_softmax(dim=1)
    sides = [
        0.75 * logs[0, 1] + 0.25 * logs[0, 2],
        logs[1, 2],
        0.5 * logs[2, 0] + 0.5 * logs[2, 1],
        logs[3, 4],
    ]
    expected = -sum(sides).item() / 4
    assert DistributionFocalLoss()(codes, box, prior, coder).item() == pytest.approx(expected, rel=1e-5)


def test_distribution_focal_loss_takes_distances_beyond_its_bins_as_the_last():
    coder, prior = DistributionCoder(4), torch.tensor([[0.0, 0, 8, 8]])
    codes = torch.zeros(1, coder.channels)
    far = torch.tensor([[-1e6, -1e6, 1e6, 1e6]])
    assert DistributionFocalLoss()(codes, far, prior, coder).item() == pytest.approx(math.log(5))


def test_distribution_focal_loss_has_the_gradient_that_it_claims():
    coder = DistributionCoder(4)
    prior = torch.tensor([[0.0, 0, 8, 8]], dtype=torch.float64)
    box = torch.tensor([[-7.0, -3, 9, 21]], dtype=torch.float64)
    codes = torch.randn(1, coder.channels, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: DistributionFocalLoss()(c, box, prior, coder), codes)


def test_box_losses_add_up_with_their_weights(positives):
    codes, boxes, priors = positives
    coder = DeltaCoder()
    a, b = OverlapLoss("giou"), SmoothL1Loss()
    both = SumOfLosses([(a, 2.0), (b, 0.5)])(codes, boxes, priors, coder)
    torch.testing.assert_close(
        both, 2 * a(codes, boxes, priors, coder) + 0.5 * b(codes, boxes, priors, coder)
    )
