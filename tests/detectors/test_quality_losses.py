"""Quality losses: closed forms, gradients, and their effect on scores."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou, generalized_box_iou_loss

from detectors.assigners.types import pad_targets
from detectors.losses.quality import CenternessLoss, IoULoss, centerness, quality_loss
from detectors.registry import VARIANTS
from detectors.types import Targets

PRIOR = torch.tensor([[4.0, 4, 8, 8]])  # its centre is (6, 6)


def entropy(target, probability=0.5):
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


def test_centerness_is_one_in_the_middle_zero_on_the_border_and_the_formula_between():
    box = torch.tensor([[0.0, 0, 40, 20]]).repeat(3, 1)
    at = torch.tensor([[20.0, 10], [0, 10], [10, 5]])
    priors = torch.cat([at - 4, at + 4], dim=1)
    expected = [1, 0, math.sqrt(10 / 30 * 5 / 15)]
    assert centerness(box, priors).tolist() == pytest.approx(expected)


def test_centerness_outside_of_its_box_is_zero_not_nan():
    assert centerness(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[6.0, 6, 14, 14]])).item() == 0
    assert centerness(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_centerness_loss_is_least_at_the_centerness():
    box, prior = torch.tensor([[0.0, 0, 40, 40]]), torch.tensor([[6.0, 16, 14, 24]])
    target = centerness(box, prior)
    logits = target.logit().requires_grad_()
    CenternessLoss()(logits, box, box, prior).sum().backward()
    assert logits.grad.item() == pytest.approx(0, abs=1e-6)


@given(scale=st.floats(0.5, 8), x=st.floats(0.1, 0.9), y=st.floats(0.1, 0.9))
def test_centerness_does_not_depend_on_the_unit(scale, x, y):
    box = torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64)
    point = torch.tensor([[x, y, x, y]], dtype=torch.float64)
    expected = math.sqrt(min(x, 1 - x) / max(x, 1 - x) * min(y, 1 - y) / max(y, 1 - y))
    assert centerness(box * scale, point * scale).item() == pytest.approx(expected)


def test_iou_loss_of_half_overlapping_boxes():
    """Two squares of 2 x 2, one pixel apart: IoU 1/3; a logit of ln 3 is a score of 3/4."""
    found, box = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]])
    cost = IoULoss()(torch.tensor([math.log(3)]), found, box, PRIOR)
    assert cost.item() == pytest.approx(entropy(1 / 3, 0.75))


@given(seed=st.integers(0, 10_000))
def test_iou_loss_is_smallest_at_the_iou_of_torchvision(seed):
    draw = torch.Generator().manual_seed(seed)
    corner, size = torch.rand(2, 4, 2, generator=draw, dtype=torch.float64), 1.0
    found, boxes = (torch.cat([c, c + size], dim=1) for c in corner)
    iou = box_iou(found, boxes).diagonal()
    logits = iou.logit().requires_grad_()
    cost = IoULoss()(logits, found, boxes, PRIOR.expand(4, 4))
    torch.testing.assert_close(cost, -iou * iou.log() - (1 - iou) * (1 - iou).log())
    (gradient,) = torch.autograd.grad(cost.sum(), logits)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("loss", [CenternessLoss(), IoULoss()])
def test_a_quality_loss_has_the_gradient_that_it_claims(loss):
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    found = torch.tensor([[0.0, 0, 5, 5], [1, 1, 9, 9], [20, 20, 30, 30]], dtype=torch.float64)
    boxes = torch.tensor([[0.0, 0, 9, 9]], dtype=torch.float64).expand(3, 4)
    assert torch.autograd.gradcheck(lambda x: loss(x, found, boxes, PRIOR.double().expand(3, 4)), logits)


def test_the_names_that_a_user_types():
    assert isinstance(quality_loss("centerness"), CenternessLoss)
    assert isinstance(quality_loss("iou"), IoULoss)
    assert quality_loss("none") is None


@pytest.mark.parametrize("name", ["fcos", "atss"])
def test_the_score_is_the_geometric_mean_with_the_quality(name):
    variant = VARIANTS[name]
    config = variant.config.model_validate(
        {"quality": "iou", "candidates": {"score": 0}, "nms": {"score": 0}}
    )
    detector = variant.build(config, 1).eval()
    with torch.no_grad():
        output = detector(torch.rand(1, 3, 64, 64))
        (found,) = detector.decode(output)
    expected = (output.logits[0, :, 0].sigmoid() * output.quality[0].sigmoid()).sqrt()
    torch.testing.assert_close(found.scores, expected.sort(descending=True).values)


@pytest.mark.parametrize("name", ["fcos", "atss"])
def test_weights_by_centerness_give_the_weighted_mean_of_the_box_losses(name):
    variant = VARIANTS[name]
    torch.manual_seed(1)
    losses: dict[str, dict[str, torch.Tensor]] = {}
    detectors: dict[str, torch.nn.Module] = {}
    images = torch.rand(2, 3, 96, 96)
    targets = [
        Targets(torch.tensor([[4.0, 8, 60, 52], [50, 40, 90, 94]]), torch.tensor([0, 1])),
        Targets(torch.tensor([[20.0, 12, 44, 80]]), torch.tensor([1])),
    ]
    for kind in ("equal", "centerness"):
        torch.manual_seed(1)
        config = variant.config.model_validate({"box_weights": kind, "box_weight": 1.0})
        detectors[kind] = variant.build(config, 2).eval()
        with torch.no_grad():
            output = detectors[kind](images)
        losses[kind] = detectors[kind].losses(output, targets)
    truth = pad_targets(targets)
    assignment = detectors["equal"].supervision.assigner(truth, output.priors, output.levels)
    weights, costs = [], []
    for image, prior in (assignment.objects >= 0).nonzero().tolist():
        box, corners = truth.boxes[image, assignment.objects[image, prior]], output.priors[prior]
        x, y = ((corners[:2] + corners[2:]) / 2).tolist()
        left, top, right, bottom = x - box[0], y - box[1], box[2] - x, box[3] - y
        across, along = min(left, right) / max(left, right), min(top, bottom) / max(top, bottom)
        weights.append(math.sqrt(across * along))  # Tian et al. 2019, eq. 3
        decoded = detectors["equal"].coder.decode(output.codes[image, prior], corners)
        costs.append(float(generalized_box_iou_loss(decoded, box)))
    assert len(costs) > 5
    mean = sum(costs) / len(costs)
    weighted = sum(w * c for w, c in zip(weights, costs, strict=True)) / sum(weights)
    assert weighted != pytest.approx(mean, rel=1e-3)
    assert float(losses["equal"]["box"]) == pytest.approx(mean, rel=1e-5)
    assert float(losses["centerness"]["box"]) == pytest.approx(weighted, rel=1e-5)
    for term in ("class", "quality"):
        assert float(losses["centerness"][term]) == float(losses["equal"][term])
