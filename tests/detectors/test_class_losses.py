"""Class losses: closed forms, torchvision's focal loss, hard negatives counted by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import sigmoid_focal_loss

from detectors.losses.classification import CrossEntropyLoss, FocalLoss, QualityFocalLoss


def logits_and_labels(seed: int, channels: int, classes: int = 3):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(-2, classes, (2, 20), generator=draw)
    return torch.randn(2, 20, channels, generator=draw) * 3, labels


@given(
    seed=st.integers(0, 10_000),
    alpha=st.sampled_from([0.25, 0.5, 0.9]),
    gamma=st.sampled_from([0.0, 1.5, 2.0]),
)
def test_focal_loss_is_torchvisions(seed, alpha, gamma):
    logits, labels = logits_and_labels(seed, 3)
    one_hot = F.one_hot(labels.clamp(min=0), 3) * (labels >= 0)[..., None]
    theirs = sigmoid_focal_loss(logits, one_hot.float(), alpha, gamma)
    expected = torch.where(labels[..., None] == -2, 0.0, theirs).sum(dim=(1, 2))
    torch.testing.assert_close(FocalLoss(alpha, gamma)(logits, labels), expected, rtol=1e-5, atol=1e-5)


def test_focal_loss_of_a_coin_toss():
    cost = FocalLoss(alpha=0.25, gamma=2)(torch.zeros(1, 2, 1), torch.tensor([[0, -1]]))
    assert cost.item() == pytest.approx((0.25 + 0.75) * 0.5**2 * math.log(2))


def test_focal_loss_starts_where_every_prior_scores_pi():
    loss = FocalLoss(start=0.01)
    assert loss.scores(torch.tensor(loss.bias())).item() == pytest.approx(0.01)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_and_its_gradient_are_finite_for_wild_logits(gamma):
    logits = torch.tensor([[[-200.0], [200.0], [-200.0], [200.0]]], requires_grad=True)
    cost = FocalLoss(gamma=gamma)(logits, torch.tensor([[0, 0, -1, -1]])).sum()
    cost.backward()
    assert cost.isfinite()
    assert logits.grad.isfinite().all()


LOSSES = [CrossEntropyLoss(), FocalLoss(), QualityFocalLoss()]


def weighted(loss, weights):
    again = copy.copy(loss)
    again.weights = torch.tensor(weights)
    return again


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=st.integers(0, 10_000))
def test_weights_of_1_change_no_bit_of_loss_or_gradient(loss, seed):
    logits, labels = logits_and_labels(seed, loss.channels(3))
    quality = torch.rand(labels.shape)
    results = []
    for either in (loss, weighted(loss, [1.0, 1.0, 1.0])):
        x = logits.clone().requires_grad_()
        cost = either(x, labels, quality)
        (gradient,) = torch.autograd.grad(cost.sum(), x)
        results.append((cost, gradient))
    assert results[0][0].equal(results[1][0])
    assert results[0][1].equal(results[1][1])


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=st.integers(0, 10_000))
def test_a_weight_multiplies_what_the_priors_of_its_class_cost(loss, seed):
    """Closed form: with weights (2, 0, 1) the loss is that of all, and of class 0 once more, less that of class 1."""
    logits, labels = logits_and_labels(seed, loss.channels(3))
    quality = torch.rand(labels.shape)
    if isinstance(loss, CrossEntropyLoss):
        loss = CrossEntropyLoss(negatives=0.0)  # their number follows the positives', whatever these weigh

    def without(*classes):
        return labels.masked_fill(torch.isin(labels, torch.tensor(classes)), -2)

    expected = loss(logits, labels, quality)
    expected = expected + (loss(logits, labels, quality) - loss(logits, without(0), quality))
    expected = expected - (loss(logits, labels, quality) - loss(logits, without(1), quality))
    found = weighted(loss, [2.0, 0.0, 1.0])(logits, labels, quality)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_weighted_cross_entropy_is_torchs_where_all_priors_count():
    logits, weights = torch.randn(1, 8, 4), [0.5, 2.0, 3.0]
    labels = torch.randint(0, 3, (1, 8))
    expected = F.cross_entropy(logits[0], labels[0] + 1, torch.tensor([1.0, *weights]), reduction="sum")
    torch.testing.assert_close(weighted(CrossEntropyLoss(), weights)(logits, labels)[0], expected)


def test_class_weights_do_not_change_the_loss_of_background():
    logits, labels = torch.randn(1, 6, 4), torch.tensor([[-1, -1, 0, -1, -2, -1]])
    heavy = weighted(CrossEntropyLoss(3.0), [5.0, 1.0, 1.0])
    own = -logits[0, 2].log_softmax(0)[1]
    torch.testing.assert_close(heavy(logits, labels) - CrossEntropyLoss(3.0)(logits, labels), 4 * own[None])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weighted_loss_has_the_gradient_that_it_claims(loss):
    labels = torch.tensor([[0, 1, -1, -1, -2, -1]])
    quality = torch.rand(1, 6, dtype=torch.float64)
    logits = torch.randn(1, 6, loss.channels(2), dtype=torch.float64, requires_grad=True)
    heavy = weighted(loss, [0.3, 2.5])
    assert torch.autograd.gradcheck(lambda x: heavy(x, labels, quality), logits)


def hard_negatives_by_hand(logits, labels, ratio):
    total = 0.0
    costs = [
        -row.log_softmax(0)[max(label, -1) + 1].item()
        for row, label in zip(logits, labels.tolist(), strict=True)
    ]
    positives = [cost for cost, label in zip(costs, labels.tolist(), strict=True) if label >= 0]
    negatives = sorted(
        (c for c, label in zip(costs, labels.tolist(), strict=True) if label == -1), reverse=True
    )
    total += sum(positives) + sum(negatives[: math.ceil(ratio * len(positives))])
    return total


@given(seed=st.integers(0, 10_000), ratio=st.sampled_from([1.0, 3.0]))
def test_cross_entropy_takes_the_hardest_negatives_of_each_image(seed, ratio):
    logits, labels = logits_and_labels(seed, 4)
    ours = CrossEntropyLoss(ratio)(logits, labels)
    by_hand = [hard_negatives_by_hand(*image, ratio) for image in zip(logits, labels, strict=True)]
    assert ours.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_cross_entropy_of_an_image_without_objects_is_zero():
    assert CrossEntropyLoss()(torch.randn(1, 9, 4), torch.full((1, 9), -1)).item() == 0


def test_softmax_scores_leave_background_out():
    logits = torch.log(torch.tensor([0.5, 0.2, 0.3]))
    torch.testing.assert_close(CrossEntropyLoss().scores(logits), torch.tensor([0.2, 0.3]))
    assert CrossEntropyLoss().channels(2) == 3


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), FocalLoss()])
def test_a_class_loss_has_the_gradient_that_it_claims(loss):
    labels = torch.tensor([[0, 1, -1, -1, -2, -1]])
    logits = torch.randn(1, 6, loss.channels(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), FocalLoss()])
def test_priors_that_do_not_count_have_no_gradient(loss):
    logits = torch.randn(1, 3, loss.channels(2), requires_grad=True)
    loss(logits, torch.tensor([[0, -2, -1]])).sum().backward()
    assert (logits.grad[0, 1] == 0).all()
    assert (logits.grad[0, 0] != 0).any()


@given(seed=st.integers(0, 10_000))
def test_quality_focal_loss_is_equation_4_summed_over_all_channels(seed):
    logits, labels = logits_and_labels(seed, 3)
    quality = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed))
    y = F.one_hot(labels.clamp(min=0), 3) * ((labels >= 0) * quality)[..., None]
    p = logits.double().sigmoid()
    each = -((y - p).abs() ** 2) * ((1 - y) * torch.log(1 - p) + y * torch.log(p))
    expected = torch.where(labels[..., None] == -2, 0.0, each).sum(dim=(1, 2)).float()
    torch.testing.assert_close(QualityFocalLoss()(logits, labels, quality), expected, rtol=1e-4, atol=1e-4)


def test_quality_focal_loss_with_exponent_0_is_cross_entropy():
    logits, labels = logits_and_labels(0, 3)
    logits.requires_grad_()
    quality = torch.rand(labels.shape, generator=torch.Generator().manual_seed(0))
    y = F.one_hot(labels.clamp(min=0), 3) * ((labels >= 0) * quality)[..., None]
    each = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    expected = torch.where(labels[..., None] == -2, 0.0, each).sum(dim=(1, 2))
    own = QualityFocalLoss(0.0)(logits, labels, quality)
    torch.testing.assert_close(own, expected)
    gradients = [torch.autograd.grad(total.sum(), logits, retain_graph=True)[0] for total in (own, expected)]
    torch.testing.assert_close(*gradients)


def test_quality_focal_loss_is_zero_if_the_score_is_the_quality():
    quality = torch.tensor([[0.3]])
    assert QualityFocalLoss()(
        quality.logit()[..., None], torch.tensor([[0]]), quality
    ).item() == pytest.approx(0)


def test_quality_focal_loss_has_the_gradient_that_it_claims():
    logits = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    quality = torch.rand(1, 4, dtype=torch.float64)
    labels = torch.tensor([[0, 1, -1, -2]])
    assert torch.autograd.gradcheck(lambda x: QualityFocalLoss()(x, labels, quality), logits)


def test_label_smoothing_in_closed_form():
    """Probabilities (1/2, 1/4, 1/4) of background and two classes; a third of the target is spread over the three."""
    logits = torch.tensor([0.5, 0.25, 0.25]).log().expand(1, 2, 3)
    labels = torch.tensor([[1, -1]])
    spread = (math.log(2) + 2 * math.log(4)) / 3
    positive = 2 / 3 * math.log(4) + spread / 3
    background = 2 / 3 * math.log(2) + spread / 3
    loss = CrossEntropyLoss(None, smoothing=1 / 3)(logits, labels)
    assert loss.tolist() == pytest.approx([positive + background])
    mined = CrossEntropyLoss(0.0, smoothing=1 / 3)(logits, labels)
    assert mined.tolist() == pytest.approx([positive])
