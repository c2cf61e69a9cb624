"""Assigners against torchvision's and against loops that do what the papers say, one prior at a time."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import Matcher, SSDMatcher
from torchvision.ops import box_iou

from detectors.assigners import overlap
from detectors.assigners.center import CenterAssigner
from detectors.assigners.overlap import OverlapAssigner
from detectors.assigners.types import BACKGROUND, IGNORE, pad_targets
from detectors.priors import GridPriors, octave_anchors, points
from detectors.types import Targets

SIZE = (96, 128)
STRIDES = (8, 16, 32)
GRIDS = [(12, 16), (6, 8), (3, 4)]


def objects(seed: int, fewest: int = 0, most: int = 6) -> Targets:
    """Boxes on a coarse grid, so that ties, equal boxes and equal areas are common."""
    draw = torch.Generator().manual_seed(seed)
    n = int(torch.randint(fewest, most + 1, (1,), generator=draw))
    low = torch.randint(0, 20, (n, 2), generator=draw) * 4.0
    return Targets(
        torch.cat([low, low + 4.0 * torch.randint(1, 12, (n, 2), generator=draw)], dim=1),
        torch.randint(0, 3, (n,), generator=draw),
    )


@functools.cache
def anchors() -> tuple[torch.Tensor, tuple[int, ...]]:
    make = GridPriors(octave_anchors(STRIDES, octaves=2), STRIDES)
    return make(GRIDS, SIZE), tuple(r * c * 6 for r, c in GRIDS)


@functools.cache
def stride_squares() -> tuple[torch.Tensor, tuple[int, ...]]:
    return GridPriors(points(3), STRIDES, unit="stride")(GRIDS, SIZE), tuple(r * c for r, c in GRIDS)


@given(seed=st.integers(0, 10_000))
def test_overlap_with_own_best_is_torchvisions_ssd_matcher(seed):
    truth, (priors, levels) = objects(seed, fewest=1), anchors()
    (ours,) = OverlapAssigner(0.5, 0.5, "own")(pad_targets([truth]), priors, levels).objects
    assert ours.tolist() == SSDMatcher(0.5)(box_iou(truth.boxes, priors)).tolist()


@given(seed=st.integers(0, 10_000))
def test_overlap_with_ties_and_a_band_is_torchvisions_matcher(seed):
    truth, (priors, levels) = objects(seed, fewest=1), anchors()
    (ours,) = OverlapAssigner(0.5, 0.4, "tied")(pad_targets([truth]), priors, levels).objects
    theirs = Matcher(0.5, 0.4, allow_low_quality_matches=True)(box_iou(truth.boxes, priors))
    assert ours.tolist() == theirs.tolist()


@given(seed=st.integers(0, 10_000))
def test_overlap_without_force_is_torchvisions_matcher(seed):
    truth, (priors, levels) = objects(seed, fewest=1), anchors()
    (ours,) = OverlapAssigner(0.7, 0.3, "none")(pad_targets([truth]), priors, levels).objects
    assert ours.tolist() == Matcher(0.7, 0.3)(box_iou(truth.boxes, priors)).tolist()


def test_an_object_that_touches_no_prior_gets_none():
    truth = pad_targets([Targets(torch.tensor([[500.0, 500, 600, 600]]), torch.tensor([0]))])
    for forced in ("own", "tied", "none"):
        found = OverlapAssigner(0.5, 0.4, forced)(truth, *anchors()).objects
        assert (found == BACKGROUND).all()


def test_priors_between_the_thresholds_are_ignored():
    priors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4.5], [0, 0, 10, 3.9]])
    truth = pad_targets([Targets(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))])
    assert OverlapAssigner(0.5, 0.4, "none")(truth, priors, (3,)).objects.tolist() == [
        [0, IGNORE, BACKGROUND]
    ]


def test_of_two_objects_with_one_best_prior_the_later_has_it():
    priors = torch.tensor([[0.0, 0, 10, 10]])
    truth = pad_targets([Targets(torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 8]]), torch.tensor([0, 1]))])
    assert OverlapAssigner(0.5, 0.5, "own")(truth, priors, (1,)).objects.tolist() == [[1]]
    assert OverlapAssigner(0.5, 0.5, "tied")(truth, priors, (1,)).objects.tolist() == [[0]]


def center_by_loops(
    truth: Targets, priors: torch.Tensor, levels: tuple[int, ...], radius: float, reach: float
):
    verdicts = []
    ends = torch.tensor(levels).cumsum(0).tolist()
    for number, prior in enumerate(priors.tolist()):
        stride = prior[2] - prior[0]
        x, y = (prior[0] + prior[2]) / 2, (prior[1] + prior[3]) / 2
        low = 0 if number < ends[0] else stride * reach / 2
        high = float("inf") if number >= ends[-2] else stride * reach
        best, smallest = BACKGROUND, float("inf")
        for which, (x0, y0, x1, y1) in enumerate(truth.boxes.tolist()):
            near = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)) < radius * stride
            sides = [x - x0, y - y0, x1 - x, y1 - y]
            area = (x1 - x0) * (y1 - y0)
            if near and min(sides) > 0 and low < max(sides) < high and area < smallest:
                best, smallest = which, area
        verdicts.append(best)
    return verdicts


@given(
    seed=st.integers(0, 10_000),
    radius=st.sampled_from([0.75, 1.5, 3.0]),
    reach=st.sampled_from([2.0, 4.0, 8.0]),
)
def test_center_is_what_the_paper_says_point_by_point(seed, radius, reach):
    truth, (priors, levels) = objects(seed), stride_squares()
    (ours,) = CenterAssigner(radius, reach)(pad_targets([truth]), priors, levels).objects
    assert ours.tolist() == center_by_loops(truth, priors, levels, radius, reach)


@pytest.mark.parametrize("assigner", [OverlapAssigner(), OverlapAssigner(0.5, 0.4, "tied"), CenterAssigner()])
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_an_image_in_a_batch_is_assigned_as_alone(assigner, seeds):
    priors, levels = stride_squares() if isinstance(assigner, CenterAssigner) else anchors()
    truths = [objects(seed) for seed in seeds]
    together = assigner(pad_targets(truths), priors, levels).objects
    for image, truth in enumerate(truths):
        alone = assigner(pad_targets([truth]), priors, levels).objects[0]
        assert together[image].tolist() == alone.tolist()


def test_a_table_too_large_for_the_memory_is_cut(monkeypatch):
    truth, (priors, levels) = pad_targets([objects(seed) for seed in range(5)]), anchors()
    whole = OverlapAssigner()(truth, priors, levels).objects
    monkeypatch.setattr(overlap, "_LARGEST_TABLE", len(priors) * 13)
    assert OverlapAssigner()(truth, priors, levels).objects.equal(whole)


def test_fault_row_11_padding_and_degenerate_boxes_are_no_objects():
    targets = [
        Targets(
            torch.tensor([[0.0, 0, 10, 10], [5, 5, 5, 9], [float("nan"), 0, 1, 1]]), torch.tensor([0, 1, 2])
        ),
        Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    padded = pad_targets(targets)
    assert padded.valid.tolist() == [[True, False, False], [False, False, False]]
    assert padded.boxes.isfinite().all()
    for assigner, (priors, levels) in ((OverlapAssigner(), anchors()), (CenterAssigner(), stride_squares())):
        verdicts = assigner(padded, priors, levels).objects
        assert verdicts[0].max() <= 0
        assert (verdicts[1] == BACKGROUND).all()


def test_no_objects_at_all_leave_a_place_for_the_maximum():
    padded = pad_targets([Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))] * 2)
    assert padded.boxes.shape == (2, 1, 4)
    assert not padded.valid.any()


def test_a_negative_threshold_above_the_positive_is_told():
    with pytest.raises(ValueError, match=r"negative: 0.6 is above positive 0.5; it must not be"):
        OverlapAssigner(0.5, 0.6)
