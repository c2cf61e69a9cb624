"""Ignored regions: what lies in a crowd is not taught as background."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from raw_outputs import DENSE

from detectors.assigners.ignored_regions import ignore_background
from detectors.assigners.types import BACKGROUND, IGNORE, Assignment, pad_targets
from detectors.proposals import ProposalConfig
from detectors.registry import VARIANTS
from detectors.types import Targets
from detectors.windows import WindowsConfig, draw_windows

NOTHING = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
WHOLE = torch.tensor([[0.0, 0, 64, 64]])
LEFT = torch.tensor([[0.0, 0, 32, 64]])


def boxes(draw: torch.Generator, count: int) -> torch.Tensor:
    """On a coarse grid, so that overlaps are equal to the threshold at times."""
    low = torch.randint(0, 9, (count, 2), generator=draw) * 4.0
    return torch.cat([low, low + 4.0 * torch.randint(1, 6, (count, 2), generator=draw)], dim=1)


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.0, 0.25, 0.5, 0.7]), own=st.booleans())
def test_the_rule_is_that_of_mmdetection_for_background(seed, threshold, own):
    """Brute force of ``iof > ignore_iof_thr``; priors with an object keep it."""
    draw = torch.Generator().manual_seed(seed)
    regions = [boxes(draw, int(n)) for n in torch.randint(0, 4, (3,), generator=draw)]
    priors = boxes(draw, 36).view(3, 12, 4) if own else boxes(draw, 12)
    before = torch.randint(-2, 2, (3, 12), generator=draw)
    targets = [Targets(*NOTHING, ignored=each if len(each) else None) for each in regions]
    after = ignore_background(Assignment(before), pad_targets(targets), priors, threshold).objects
    for image, of_image in enumerate(regions):
        for prior in range(12):
            left, top, right, bottom = (priors[image] if own else priors)[prior].tolist()
            fractions = [
                max(min(right, x1) - max(left, x0), 0) * max(min(bottom, y1) - max(top, y0), 0)
                / ((right - left) * (bottom - top))
                for x0, y0, x1, y1 in of_image.tolist()
            ]  # fmt: skip
            left_out = before[image, prior] == BACKGROUND and any(f > threshold for f in fractions)
            assert after[image, prior] == (IGNORE if left_out else before[image, prior])


def test_nothing_is_ignored_at_a_threshold_of_one_or_without_regions():
    verdicts = Assignment(torch.tensor([[BACKGROUND]]))
    covered = pad_targets([Targets(*NOTHING, ignored=WHOLE)])
    assert ignore_background(verdicts, covered, WHOLE, 1.0) is verdicts
    assert ignore_background(verdicts, pad_targets([Targets(*NOTHING)]), WHOLE, 0.5) is verdicts
    unknown = torch.full((1, 4), float("nan"))
    padded = pad_targets([Targets(*NOTHING, ignored=unknown)])
    assert ignore_background(verdicts, padded, WHOLE, 0.5).objects.item() == BACKGROUND


def scored(name, side=64):
    """A detector in training and its output for one image, with random scores that the loss is differentiated by."""
    variant = VARIANTS[name]
    detector = variant.build(variant.config.model_validate({"backbone": {"base_channel": 4}}), 2)
    output = detector(torch.rand(1, 3, side, side))
    logits = torch.randn(output.logits.shape, generator=torch.Generator().manual_seed(1))
    return detector, output._replace(logits=logits.requires_grad_())


@pytest.mark.parametrize("name", DENSE)
def test_dense_detectors_have_no_class_loss_where_background_is_ignored(name):
    detector, output = scored(name, 128)
    region = torch.tensor([[0.0, 0, 88, 128]])
    target = Targets(torch.tensor([[100.0, 8, 124, 36]]), torch.tensor([1]), ignored=region)
    detector.losses(output, [target])["class"].backward()
    inside = ((output.priors >= 0) & (output.priors <= torch.tensor([88, 128, 88, 128]))).all(dim=1)
    assert inside.sum() > 5
    assert output.logits.grad[0, inside].abs().max() == 0
    output.logits.grad = None
    detector.losses(output, [Targets(target.boxes, target.labels)])["class"].backward()
    assert output.logits.grad[0, inside].abs().max() > 0


@pytest.mark.parametrize("name", DENSE)
def test_objects_within_an_ignored_region_are_learned_as_without_it(name):
    detector, output = scored(name)
    box, label = torch.tensor([[10.0, 8, 34, 36]]), torch.tensor([0])
    found = [
        detector._assign(detector._branches(output)[0], [Targets(box, label, ignored=regions)], 1)[1].objects
        for regions in (None, WHOLE)
    ]
    assert (found[0] >= 0).any()
    assert (found[1] >= 0).equal(found[0] >= 0)
    losses = [detector.losses(output, [Targets(box, label, ignored=each)])["box"] for each in (None, WHOLE)]
    assert losses[0] == losses[1]


def test_proposals_and_regions_in_ignored_regions_are_not_drawn():
    variant = VARIANTS["faster_rcnn"]
    config = variant.config.model_validate({"backbone": {"base_channel": 4}})
    detector = variant.build(config, 2)
    images = torch.rand(1, 3, 64, 64)
    target = Targets(torch.tensor([[36.0, 8, 60, 36]]), torch.tensor([1]))
    known = detector.normalizers(images, [target])
    torch.manual_seed(0)
    covered = detector.normalizers(images, [Targets(target.boxes, target.labels, ignored=WHOLE)])
    output = detector(images)
    anchors = detector.proposals.assigner(
        pad_targets([target]), output.proposals.priors, output.proposals.levels
    )
    positive = int((anchors.objects >= 0).sum())
    assert positive < int(known["objectness"]) == ProposalConfig().samples
    outside = output.proposals.priors[(anchors.objects[0] == BACKGROUND)]
    beyond = 1 - torch.stack(
        [outside[:, [0, 2]].clamp(0, 64).diff()[:, 0], outside[:, [1, 3]].clamp(0, 64).diff()[:, 0]]
    ).prod(0) / (outside[:, 2:] - outside[:, :2]).prod(1)
    assert int(covered["objectness"]) == min(positive + int((beyond >= 0.5).sum()), 256)
    assert int(covered["class"]) < int(known["class"])


def test_the_dense_head_of_set_prediction_has_no_loss_where_background_is_ignored():
    variant = VARIANTS["detr"]
    detector = variant.build(variant.config.model_validate({"backbone": {"base_channel": 4}}), 2).eval()
    with torch.no_grad():
        output = detector(torch.rand(1, 3, 64, 64))
        losses = [
            detector.losses(output, [Targets(*NOTHING, ignored=regions)])["proposals"]
            for regions in (None, WHOLE)
        ]
    assert losses[0] > 0
    assert losses[1] == 0


def test_windows_of_background_know_the_regions_in_their_own_pixels():
    config = WindowsConfig(pixels=32)
    drawn = draw_windows(config, [Targets(*NOTHING, ignored=LEFT)], (64, 64), seed=3)
    for window, target in zip(drawn.windows[0].tolist(), drawn.targets, strict=True):
        left, _, right, _ = window
        scale = 32 / (right - left)
        assert target.ignored is not None
        assert target.ignored[0, [0, 2]].tolist() == pytest.approx(
            [-left * scale, (32 - left) * scale], abs=1e-4
        )


def test_regions_travel_to_another_device():
    moved = Targets(*NOTHING, ignored=LEFT).to("meta")
    assert moved.ignored is not None
    assert moved.ignored.is_meta


def test_regions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"Targets.ignored: expected shape \(R, 4\), got \(4,\)"):
        Targets(*NOTHING, ignored=torch.zeros(4))
