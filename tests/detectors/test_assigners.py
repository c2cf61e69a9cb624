"""Assigners, compared with torchvision and with loops over priors that follow the papers."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import Matcher, SSDMatcher
from torchvision.ops import box_iou, generalized_box_iou

from detectors.assigners import overlap
from detectors.assigners.atss import ATSSAssigner
from detectors.assigners.center import CenterAssigner
from detectors.assigners.hungarian import HungarianAssigner
from detectors.assigners.overlap import OverlapAssigner
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.assigners.types import BACKGROUND, IGNORE, Prediction, pad_targets
from detectors.losses.classification import FocalLoss
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
def test_center_equals_the_paper_point_by_point(seed, radius, reach):
    truth, (priors, levels) = objects(seed), stride_squares()
    (ours,) = CenterAssigner(radius, reach)(pad_targets([truth]), priors, levels).objects
    assert ours.tolist() == center_by_loops(truth, priors, levels, radius, reach)


def scattered(seed: int, most: int = 5) -> Targets:
    """Boxes anywhere: no two distances are equal, so that which priors are closest is no matter of order."""
    draw = torch.Generator().manual_seed(seed)
    n = int(torch.randint(0, most + 1, (1,), generator=draw))
    low = torch.rand(n, 2, generator=draw) * 80
    size = 5 + torch.rand(n, 2, generator=draw) * 60
    return Targets(torch.cat([low, low + size], dim=1), torch.randint(0, 3, (n,), generator=draw))


def atss_by_loops(truth: Targets, priors: torch.Tensor, levels: tuple[int, ...], k: int) -> list[int]:
    centre = (priors[:, :2] + priors[:, 2:]) / 2
    claims: dict[int, tuple[float, int]] = {}
    for number, box in enumerate(truth.boxes):
        middle = (box[:2] + box[2:]) / 2
        candidates, start = [], 0
        for size in levels:
            away = (centre[start : start + size] - middle).norm(dim=1)
            candidates += [start + place for place in away.argsort().tolist()[:k]]
            start += size
        iou = box_iou(box[None], priors[candidates])[0]
        threshold = iou.mean() + iou.std()
        for candidate, share in zip(candidates, iou, strict=True):
            x, y = centre[candidate].tolist()
            if share >= threshold and box[0] < x < box[2] and box[1] < y < box[3]:
                best = claims.get(candidate, (-1.0, -1))
                if share.item() > best[0]:
                    claims[candidate] = (share.item(), number)
    return [claims.get(prior, (0.0, BACKGROUND))[1] for prior in range(len(priors))]


@given(seed=st.integers(0, 10_000), k=st.sampled_from([3, 9]))
def test_atss_is_the_papers_algorithm_object_by_object(seed, k):
    truth = scattered(seed)
    priors, levels = GridPriors([[(4.0, 4.0)]] * 3, STRIDES, unit="stride")(GRIDS, SIZE), (192, 48, 12)
    (ours,) = ATSSAssigner(k)(pad_targets([truth]), priors, levels).objects
    assert ours.tolist() == atss_by_loops(truth, priors, levels, k)


def random_prediction(seed: int, images: int = 1) -> Prediction:
    """Scores at random, and boxes near the objects of `scattered` or anywhere."""
    draw = torch.Generator().manual_seed(seed + 1)
    priors, _ = stride_squares()
    grown = torch.rand(images, len(priors), 4, generator=draw) * 30 * torch.tensor([-1.0, -1, 1, 1])
    return Prediction(torch.rand(images, len(priors), 3, generator=draw), priors + grown, SIZE)


def task_aligned_by_loops(truth: Targets, priors: torch.Tensor, found: Prediction, top: int):
    iou = box_iou(truth.boxes, found.boxes[0])
    centre = (priors[:, :2] + priors[:, 2:]) / 2
    metric = torch.stack([found.scores[0][:, label] for label in truth.labels]) * iou**6
    chosen: dict[int, list[int]] = {}
    for number, (x0, y0, x1, y1) in enumerate(truth.boxes.tolist()):
        within = [p for p, (x, y) in enumerate(centre.tolist()) if x0 < x < x1 and y0 < y < y1]
        for prior in sorted(within, key=lambda p: -metric[number, p].item())[:top]:
            chosen.setdefault(prior, []).append(number)
    verdicts = [BACKGROUND] * len(priors)
    for prior, numbers in chosen.items():
        verdicts[prior] = max(numbers, key=lambda number: iou[number, prior].item())
    scores = [0.0] * len(priors)
    for number in range(len(truth.labels)):
        own = [prior for prior, verdict in enumerate(verdicts) if verdict == number]
        for prior in own:
            highest = max(metric[number, p].item() for p in own)
            scores[prior] = metric[number, prior].item() / highest * max(iou[number, p].item() for p in own)
    return verdicts, scores


@given(seed=st.integers(0, 10_000), top=st.sampled_from([2, 13]))
def test_task_aligned_equals_the_paper_prior_by_prior(seed, top):
    truth, (priors, levels), found = scattered(seed), stride_squares(), random_prediction(seed)
    ours = TaskAlignedAssigner(top)(pad_targets([truth]), priors, levels, found)
    if not len(truth.labels):
        assert (ours.objects == BACKGROUND).all()
        return
    verdicts, scores = task_aligned_by_loops(truth, priors, found, top)
    assert ours.objects[0].tolist() == verdicts
    assert ours.scores[0].tolist() == pytest.approx(scores, rel=1e-3, abs=1e-6)


def test_the_best_prior_of_an_object_should_score_its_iou():
    truth, (priors, levels), found = pad_targets([scattered(4)]), stride_squares(), random_prediction(4)
    ours = TaskAlignedAssigner()(truth, priors, levels, found)
    for number in range(truth.valid.sum()):
        own = ours.objects[0] == number
        iou = box_iou(truth.boxes[0, number][None], found.boxes[0, own])
        assert ours.scores[0, own].max().item() == pytest.approx(iou.max().item(), rel=1e-4)


def test_hungarian_costs_are_those_of_the_papers():
    truth, found = scattered(11), random_prediction(11)
    costs = HungarianAssigner().costs(pad_targets([truth]), found)[0]
    height, width = SIZE
    for number, (box, label) in enumerate(zip(truth.boxes, truth.labels.tolist(), strict=True)):
        for prior in (0, 7, 100):
            other = found.boxes[0, prior]
            mine = [(box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height]
            mine += [(box[2] - box[0]) / width, (box[3] - box[1]) / height]
            its = [(other[0] + other[2]) / 2 / width, (other[1] + other[3]) / 2 / height]
            its += [(other[2] - other[0]) / width, (other[3] - other[1]) / height]
            l1 = sum(abs(a - b) for a, b in zip(mine, its, strict=True))
            giou = generalized_box_iou(box[None], other[None])
            score = found.scores[0, prior, label].item()
            focal = FocalLoss(alpha=0.25, gamma=2.0)
            logit = torch.logit(torch.tensor([[[score]]]))
            as_positive, as_background = (focal(logit, torch.tensor([[kind]])).item() for kind in (0, -1))
            expected = 5 * l1 + 2 * (as_positive - as_background) + 2 * (1 - giou)
            assert costs[number, prior].item() == pytest.approx(expected.item(), rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_hungarian_pairs_each_object_with_a_prior_inside_if_there_is_one(seed):
    """A point outside its object cannot predict its box; with random boxes, half of the cheapest points are outside."""
    truth, (priors, levels), found = scattered(seed), stride_squares(), random_prediction(seed)
    verdicts = HungarianAssigner()(pad_targets([truth]), priors, levels, found).objects[0]
    centre = (priors[:, :2] + priors[:, 2:]) / 2
    for number, box in enumerate(truth.boxes):
        (prior,) = (verdicts == number).nonzero().flatten().tolist()
        free = (verdicts < 0) | (verdicts == number)
        within = ((centre > box[:2]) & (centre < box[2:])).all(dim=1)
        assert within[prior] or not (within & free).any()


@given(seed=st.integers(0, 10_000))
def test_hungarian_pairs_each_object_once_and_no_swap_is_cheaper(seed):
    truth, (priors, levels), found = scattered(seed), stride_squares(), random_prediction(seed)
    assigner = HungarianAssigner()
    verdicts = assigner(pad_targets([truth]), priors, levels, found).objects[0]
    paired = verdicts[verdicts >= 0].tolist()
    assert sorted(paired) == list(range(len(truth.labels)))
    costs = assigner.total_costs(pad_targets([truth]), priors, found)[0].double()
    place = {number: prior for prior, number in enumerate(verdicts.tolist()) if number >= 0}
    for a in place:
        assert costs[a, place[a]] <= costs[a][verdicts < 0].min() + 1e-5
        for b in place:
            now = costs[a, place[a]] + costs[b, place[b]]
            assert now <= costs[a, place[b]] + costs[b, place[a]] + 1e-5


LISTENERS = [TaskAlignedAssigner(), HungarianAssigner()]


@pytest.mark.parametrize("assigner", [ATSSAssigner(), *LISTENERS])
def test_adaptive_assigners_take_an_image_in_a_batch_as_alone(assigner):
    truths = [scattered(seed) for seed in (3, 4, 5, 6)]
    priors, levels = stride_squares()
    found = random_prediction(9, images=4)
    together = assigner(pad_targets(truths), priors, levels, found)
    for image, truth in enumerate(truths):
        one = Prediction(found.scores[image : image + 1], found.boxes[image : image + 1], SIZE)
        alone = assigner(pad_targets([truth]), priors, levels, one)
        assert together.objects[image].tolist() == alone.objects[0].tolist()


@pytest.mark.parametrize("assigner", [ATSSAssigner(), *LISTENERS])
def test_fault_11_adaptive_assigners_leave_degenerate_boxes_out(assigner):
    bad = Targets(torch.tensor([[5.0, 5, 5, 40], [30, 30, 20, 40]]), torch.tensor([0, 1]))
    none = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    priors, levels = stride_squares()
    verdicts = assigner(pad_targets([bad, none]), priors, levels, random_prediction(1, images=2))
    assert (verdicts.objects == BACKGROUND).all()
    assert verdicts.scores is None or (verdicts.scores == 0).all()


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
    monkeypatch.setattr(overlap, "_MAX_TABLE", len(priors) * 13)
    assert OverlapAssigner()(truth, priors, levels).objects.equal(whole)


def test_fault_11_padding_and_degenerate_boxes_are_no_objects():
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


def test_a_negative_threshold_above_the_positive_is_an_error():
    with pytest.raises(ValueError, match=r"negative: 0.6 is above positive 0.5; expected at most that"):
        OverlapAssigner(0.5, 0.6)
