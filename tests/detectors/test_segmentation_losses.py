"""Losses of label maps against segmentation-models-pytorch, PyTorch and closed forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detectors.losses.segmentation import (
    class_areas,
    cross_entropy_map,
    dice_losses,
    jaccard_losses,
    pixel_targets,
)
from metrics.pixel_labels import IGNORED

CLASSES = 4


def scene(seed: int = 0, absent: int | None = None, ignored: float = 0.2):
    """Logits (3, 4, 9, 7), and label maps in which a share of the pixels is ignored and a class may be absent."""
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, CLASSES, 9, 7, generator=draw)
    labels = torch.randint(0, CLASSES, (3, 9, 7), generator=draw, dtype=torch.uint8)
    if absent is not None:
        labels[labels == absent] = 0
    labels[torch.rand(labels.shape, generator=draw) < ignored] = IGNORED
    return logits, labels


LOSSES = {"DiceLoss": dice_losses, "JaccardLoss": jaccard_losses}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smooth", [0.0, 1.5])
@pytest.mark.parametrize("absent", [None, 2])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0, 3.0]])
def test_they_equal_those_of_segmentation_models_pytorch(name, smooth, absent, weights):
    """Its `classes` are those of the region: without them it divides by the number of all classes."""
    reference = pytest.importorskip("segmentation_models_pytorch.losses", reason="not installed: an oracle")
    logits, labels = scene(absent=absent)
    for over, regions in (("batch", [slice(0, 3)]), ("image", [slice(k, k + 1) for k in range(3)])):
        areas = class_areas(logits.softmax(dim=1), pixel_targets(labels), over)
        own = LOSSES[name](areas, smooth, None if weights is None else torch.tensor(weights))
        assert own.shape == (len(regions),)
        for value, region in zip(own.tolist(), regions, strict=True):
            present = sorted(set(labels[region].unique().tolist()) - {IGNORED})
            loss = getattr(reference, name)(
                "multiclass", present, smooth=smooth, ignore_index=IGNORED, class_weights=weights
            )
            assert value == pytest.approx(float(loss(logits[region], labels[region].long())), abs=1e-6)


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0, 3.0]])
def test_cross_entropy_is_that_of_pytorch_without_ignored_pixels(weights):
    logits, labels = scene()
    given = None if weights is None else torch.tensor(weights)
    expected = F.cross_entropy(logits, labels.long(), given, ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(cross_entropy_map(logits, pixel_targets(labels), given).sum(), expected)


def test_hard_predictions_have_the_overlap_of_sets():
    """Class 1: 2 pixels in common of 3 in the truth and 4 predicted; the others are background."""
    labels = torch.tensor([[[1, 1, 1, 0, 0, 0, 0, 0]]], dtype=torch.uint8)
    predicted = torch.tensor([[[1, 1, 0, 1, 1, 0, 0, 0]]])
    probabilities = F.one_hot(predicted, 2).permute(0, 3, 1, 2).float()
    areas = class_areas(probabilities, pixel_targets(labels), "image")
    assert 1 - dice_losses(areas).item() == pytest.approx((2 * 2 / 7 + 2 * 3 / 9) / 2)
    assert 1 - jaccard_losses(areas).item() == pytest.approx((2 / 5 + 3 / 6) / 2)


def test_ignored_pixels_change_no_loss_and_have_no_gradient():
    logits, labels = scene()
    logits.requires_grad_()
    other = torch.where((labels == IGNORED)[:, None], -logits, logits)

    def losses(of):
        targets = pixel_targets(labels)
        areas = class_areas(of.softmax(dim=1), targets, "batch")
        return torch.stack(
            [dice_losses(areas)[0], jaccard_losses(areas)[0], cross_entropy_map(of, targets).sum()]
        )

    torch.testing.assert_close(losses(other), losses(logits))
    losses(logits).sum().backward()
    pixels = (logits.grad != 0).any(dim=1)
    assert torch.equal(pixels, labels != IGNORED)


def test_regions_without_labelled_pixels_have_no_loss_and_a_finite_gradient():
    logits = torch.zeros(2, CLASSES, 3, 3, requires_grad=True)
    targets = pixel_targets(torch.full((2, 3, 3), IGNORED, dtype=torch.uint8))
    areas = class_areas(logits.softmax(dim=1), targets, "image")
    total = dice_losses(areas).sum() + jaccard_losses(areas).sum() + cross_entropy_map(logits, targets).sum()
    total.backward()
    assert total.item() == 0
    assert not logits.grad.any()
