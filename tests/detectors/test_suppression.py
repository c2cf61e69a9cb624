"""Suppression against torchvision's and against a loop over boxes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import batched_nms, box_iou, nms

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


@given(seed=st.integers(0, 10_000))
def test_hard_suppression_is_torchvisions(seed):
    found = candidates(seed)
    free = {"score": 0.0, "iou": 0.5, "max_dets": 1000}
    by_class = batched_nms(found.boxes, found.scores, found.labels, 0.5)
    assert NMS(NMSConfig(**free))(found).scores.tolist() == found.scores[by_class].tolist()
    across = nms(found.boxes, found.scores, 0.5)
    assert NMS(NMSConfig(**free, agnostic=True))(found).scores.tolist() == found.scores[across].tolist()


def test_the_floor_itself_is_dropped():
    found = Detections(
        torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6]]), torch.tensor([0.5, 0.6]), torch.tensor([0, 0])
    )
    assert NMS(NMSConfig(score=0.5))(found).scores.tolist() == pytest.approx([0.6])


def test_nothing_in_nothing_out():
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    for agnostic in (False, True):
        assert len(NMS(NMSConfig(agnostic=agnostic))(nothing).scores) == 0


@given(seed=st.integers(0, 10_000))
def test_what_was_suppressed_stays_so_when_suppressed_again(seed):
    suppress = NMS(NMSConfig(score=0.1, iou=0.5))
    once = suppress(candidates(seed))
    twice = suppress(once)
    assert twice.scores.tolist() == once.scores.tolist()
