"""NMS, compared with torchvision and with a loop over boxes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import batched_nms, box_iou, distance_box_iou, nms

from detectors.nms import NMS, NMSConfig
from detectors.types import Detections


def candidates(seed: int, n: int = 30, classes: int = 3) -> Detections:
    """Boxes on a coarse grid, so that equal boxes and overlaps of exactly 1/2 are common; scores all differ."""
    draw = torch.Generator().manual_seed(seed)
    low = torch.randint(0, 6, (n, 2), generator=draw) * 2.0
    boxes = torch.cat([low, low + 2.0 * torch.randint(1, 5, (n, 2), generator=draw)], dim=1)
    scores = (torch.randperm(n, generator=draw) + 1) / (n + 1)
    return Detections(boxes, scores, torch.randint(0, classes, (n,), generator=draw))


def by_loop(found: Detections, config: NMSConfig) -> list[int]:
    order = sorted(range(len(found.scores)), key=lambda k: -found.scores[k].item())
    order = [k for k in order if found.scores[k] > config.score][: config.top_k]
    kept: list[int] = []
    for k in order:
        rivals = [j for j in kept if config.agnostic or found.labels[j] == found.labels[k]]
        if all(box_iou(found.boxes[k][None], found.boxes[j][None]).item() <= config.iou for j in rivals):
            kept.append(k)
    return kept[: config.max_dets]


@given(
    seed=st.integers(0, 10_000),
    iou=st.sampled_from([0.3, 0.5, 0.7]),
    agnostic=st.booleans(),
    score=st.sampled_from([0.0, 0.4]),
    top_k=st.sampled_from([10, 100]),
    max_dets=st.sampled_from([5, 100]),
)
def test_hard_suppression_is_the_loop_over_boxes(seed, iou, agnostic, score, top_k, max_dets):
    found = candidates(seed)
    config = NMSConfig(iou=iou, agnostic=agnostic, score=score, top_k=top_k, max_dets=max_dets)
    kept = NMS(config)(found)
    expected = by_loop(found, config)
    assert kept.scores.tolist() == found.scores[expected].tolist()
    assert kept.labels.tolist() == found.labels[expected].tolist()
    assert kept.boxes.tolist() == found.boxes[expected].tolist()


@pytest.mark.parametrize("n", [30, 3000])
def test_equal_scores_keep_their_order(n):
    apart = torch.arange(n, dtype=torch.float32)[:, None] * 10 + torch.tensor([0.0, 0.0, 5.0, 5.0])
    labels = torch.arange(n) * 7 % 3
    found = Detections(apart, torch.full((n,), 0.5), labels)
    kept = NMS(NMSConfig(max_dets=n))(found)
    assert kept.boxes.tolist() == apart.tolist()
    assert kept.labels.tolist() == labels.tolist()


@given(seed=st.integers(0, 10_000))
def test_hard_suppression_is_torchvisions(seed):
    found = candidates(seed)
    free = {"score": 0.0, "iou": 0.5, "max_dets": 1000}
    by_class = batched_nms(found.boxes, found.scores, found.labels, 0.5)
    assert NMS(NMSConfig(**free))(found).scores.tolist() == found.scores[by_class].tolist()
    across = nms(found.boxes, found.scores, 0.5)
    assert NMS(NMSConfig(**free, agnostic=True))(found).scores.tolist() == found.scores[across].tolist()


def diou_by_loop(found: Detections, config: NMSConfig) -> list[int]:
    kept: list[int] = []
    for k in sorted(range(len(found.scores)), key=lambda k: -found.scores[k].item()):
        rivals = [j for j in kept if config.agnostic or found.labels[j] == found.labels[k]]
        near = [distance_box_iou(found.boxes[k][None], found.boxes[j][None]).item() for j in rivals]
        if all(d <= config.iou for d in near):
            kept.append(k)
    return kept


@given(seed=st.integers(0, 10_000), iou=st.sampled_from([0.13, 0.31, 0.52]), agnostic=st.booleans())
def test_diou_suppression_is_the_loop_over_boxes(seed, iou, agnostic):
    found = candidates(seed)
    config = NMSConfig(method="diou", iou=iou, agnostic=agnostic, score=0.0, max_dets=1000)
    assert NMS(config)(found).scores.tolist() == found.scores[diou_by_loop(found, config)].tolist()


def soft_by_loop(found: Detections, config: NMSConfig) -> list[tuple[float, int]]:
    """Bodla et al. 2017, figure 3, one class after the other."""
    out = []
    for label in [None] if config.agnostic else sorted(set(found.labels.tolist())):
        rest = {
            k: found.scores[k].item()
            for k in range(len(found.scores))
            if label in (None, found.labels[k].item())
        }
        while rest:
            best = max(rest, key=lambda k: rest[k])
            score = rest.pop(best)
            if score <= config.score:
                break
            out.append((score, best))
            for k in rest:
                overlap = box_iou(found.boxes[k][None], found.boxes[best][None]).item()
                if config.method == "soft_gaussian":
                    rest[k] *= math.exp(-(overlap**2) / config.sigma)
                elif overlap > config.iou:
                    rest[k] *= 1 - overlap
    return sorted(out, reverse=True)[: config.max_dets]


@given(
    seed=st.integers(0, 10_000),
    method=st.sampled_from(["soft_linear", "soft_gaussian"]),
    agnostic=st.booleans(),
    score=st.sampled_from([0.01, 0.3]),
    max_dets=st.sampled_from([4, 100]),
)
def test_soft_suppression_is_the_papers_loop(seed, method, agnostic, score, max_dets):
    found = candidates(seed)
    config = NMSConfig(method=method, iou=0.31, sigma=0.5, agnostic=agnostic, score=score, max_dets=max_dets)
    kept, expected = NMS(config)(found), soft_by_loop(found, config)
    assert kept.scores.tolist() == pytest.approx([score for score, _ in expected], rel=1e-4)
    assert sorted(kept.boxes.tolist()) == sorted(found.boxes[k].tolist() for _, k in expected)


def test_soft_suppression_keeps_what_hard_drops_at_a_lower_score():
    near = Detections(
        torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]]), torch.tensor([0.9, 0.8]), torch.tensor([0, 0])
    )
    assert len(NMS(NMSConfig(method="hard"))(near).scores) == 1
    assert NMS(NMSConfig(method="soft_linear"))(near).scores.tolist() == pytest.approx([0.9, 0.8 * (1 - 0.8)])
    faded = 0.8 * math.exp(-(0.8**2) / 0.5)
    assert NMS(NMSConfig(method="soft_gaussian"))(near).scores.tolist() == pytest.approx([0.9, faded])


@given(seed=st.integers(0, 10_000), score=st.sampled_from([0.0, 0.3]), max_dets=st.sampled_from([4, 100]))
def test_none_keeps_the_highest_scores_of_all_classes(seed, score, max_dets):
    found = candidates(seed)
    expected = sorted((each for each in found.scores.tolist() if each > score), reverse=True)[:max_dets]
    kept = NMS(NMSConfig(method="none", score=score, max_dets=max_dets))(found)
    assert kept.scores.tolist() == expected


def test_diou_keeps_two_whose_centres_are_apart():
    apart = Detections(
        torch.tensor([[0.0, 0, 10, 4], [4, 0, 14, 4]]), torch.tensor([0.9, 0.8]), torch.tensor([0, 0])
    )
    assert len(NMS(NMSConfig(method="hard", iou=0.4))(apart).scores) == 1
    assert len(NMS(NMSConfig(method="diou", iou=0.4))(apart).scores) == 2


def test_the_floor_itself_is_dropped():
    found = Detections(
        torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6]]), torch.tensor([0.5, 0.6]), torch.tensor([0, 0])
    )
    assert NMS(NMSConfig(score=0.5))(found).scores.tolist() == pytest.approx([0.6])


def test_no_candidates_give_no_detections():
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    for method in ("hard", "diou", "soft_linear", "soft_gaussian", "none"):
        for agnostic in (False, True):
            assert len(NMS(NMSConfig(agnostic=agnostic, method=method))(nothing).scores) == 0


@given(seed=st.integers(0, 10_000))
def test_what_was_suppressed_stays_so_when_suppressed_again(seed):
    suppress = NMS(NMSConfig(score=0.1, iou=0.5))
    once = suppress(candidates(seed))
    twice = suppress(once)
    assert twice.scores.tolist() == once.scores.tolist()
