"""Weighted boxes fusion, compared with the paper's steps in plain Python and with results by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.fusion import fuse
from detectors.types import Detections
from metrics.errors import InputError


def found(*rows):
    """Each row (x0, y0, x1, y1, score, label)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Detections(table[:, :4].float(), table[:, 4].float(), table[:, 5].long())


def rows(detections):
    table = zip(
        detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True
    )
    return [(*box, score, label) for box, score, label in table]


def iou(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def fused_by_the_book(models, threshold, once, weights=None):
    """Solovyev et al. 2021, section 3, steps 1 to 6, on lists; and if `once`, no cluster has two of one model.

    With weights, every score is multiplied by that of its model, and a member counts as much as its model weighs.
    """
    weights = weights or [1] * len(models)
    listed = [
        (*row[:4], row[4] * weights[number], row[5], number)
        for number, model in enumerate(models)
        for row in model
        if weights[number]
    ]
    listed = sorted(listed, key=lambda row: -row[4])
    clusters, boxes = [], []
    for row in listed:
        near = [
            (iou(row, box), -k)
            for k, box in enumerate(boxes)
            if clusters[k][0][5] == row[5]
            and iou(row, box) > threshold
            and not (once and row[6] in [member[6] for member in clusters[k]])
        ]
        if near:
            place = -max(near)[1]
            clusters[place].append(row)
        else:
            place = len(clusters)
            clusters.append([row])
            boxes.append(None)
        members = clusters[place]
        total = sum(member[4] for member in members)
        boxes[place] = [sum(m[4] * m[side] for m in members) / total for side in range(4)]
    out = []
    for box, members in zip(boxes, clusters, strict=True):
        present = sum(weights[member[6]] for member in members)
        score = sum(member[4] for member in members) / present
        out.append((*box, score * min(present, sum(weights)) / sum(weights), members[0][5]))
    return sorted(out, key=lambda row: -row[4])


side = st.integers(0, 12)
row = st.tuples(
    side, side, st.integers(1, 8), st.integers(1, 8), st.integers(1, 1000), st.integers(0, 1)
).map(lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3], r[4] / 1024, r[5]))


@given(
    models=st.lists(st.lists(row, max_size=6), min_size=1, max_size=4),
    once=st.booleans(),
    threshold=st.sampled_from([0.3, 0.55]),
    weights=st.none()
    | st.lists(st.sampled_from([0, 0.5, 1, 2]), min_size=4, max_size=4).filter(lambda drawn: drawn[0]),
)
def test_fusion_is_the_papers_step_by_step(models, threshold, once, weights):
    weights = None if weights is None else weights[: len(models)]
    ours = rows(fuse([found(*model) for model in models], threshold, once, weights))
    expected = fused_by_the_book(models, threshold, once, weights)
    assert [r[4] for r in ours] == pytest.approx([r[4] for r in expected], abs=1e-6)
    for theirs in expected:
        assert min(max(abs(a - b) for a, b in zip(own, theirs, strict=True)) for own in ours) < 1e-4


def test_two_that_agree_are_averaged_by_their_scores():
    one, two = found((0, 0, 10, 10, 0.9, 0)), found((2, 0, 12, 10, 0.3, 0))
    ((x0, y0, x1, y1, score, label),) = rows(fuse([one, two]))
    assert (x0, y0, x1, y1) == pytest.approx((0.5, 0, 10.5, 10))
    assert score == pytest.approx(0.6)
    assert label == 0


def test_what_only_one_of_three_found_has_a_third_of_its_score():
    nothing = found()
    assert rows(fuse([found((0, 0, 4, 4, 0.9, 1)), nothing, nothing])) == [
        (0, 0, 4, 4, pytest.approx(0.3), 1)
    ]


def test_more_members_than_predictors_count_as_all():
    """min(members, predictors): two of one predictor's detections make it no surer than that predictor is."""
    ((*_, score, _),) = rows(fuse([found((0, 0, 10, 10, 0.8, 0), (0, 0, 10, 9, 0.6, 0))], once=False))
    assert score == pytest.approx(0.7)


def test_a_detection_joins_the_cluster_with_the_highest_iou_not_score():
    """IoU 70 / 130 with the first, 80 / 120 with the second, and 50 / 150 between these two."""
    first, second, third = (0, 0, 10, 10, 0.9, 0), (5, 0, 15, 10, 0.8, 0), (3, 0, 13, 10, 0.4, 0)
    assert sorted(r[:4] for r in rows(fuse([found(first, second), found(third)], iou=0.4))) == [
        (0, 0, 10, 10),
        pytest.approx((13 / 3, 0, 43 / 3, 10)),
    ]


def test_classes_never_meet():
    assert len(rows(fuse([found((0, 0, 9, 9, 0.5, 0)), found((0, 0, 9, 9, 0.5, 1))]))) == 2


def test_separate_detections_of_one_predictor_are_unchanged():
    alone = found((0, 0, 4, 4, 0.9, 1), (8, 8, 12, 12, 0.5, 0))
    assert rows(fuse([alone], once=False)) == rows(alone)


def test_what_one_predictor_kept_apart_stays_apart():
    """IoU 0.6: its suppression let both stand, and so does fusion with a twin of it."""
    alone = found((0, 0, 10, 8, 0.75, 0), (0, 2, 10, 10, 0.5, 0))
    for twins in ([alone], [alone, alone]):
        assert rows(fuse(twins)) == rows(alone)
        assert len(rows(fuse(twins, once=False))) == 1


def test_a_score_of_zero_is_no_division_by_zero():
    nothing_sure = found((0, 0, 4, 4, 0.0, 0))
    assert rows(fuse([nothing_sure, nothing_sure])) == [(0, 0, 4, 4, 0, 0)]


def test_fusion_without_detections_is_empty():
    assert rows(fuse([found(), found()])) == []
    with pytest.raises(InputError, match="at least one predictor"):
        fuse([])


def test_only_the_ratio_of_weights_matters_and_a_weight_of_0_leaves_a_model_out():
    one, two = found((0, 0, 10, 10, 0.8, 0)), found((0, 0, 10, 9, 0.6, 0), (20, 20, 30, 30, 0.5, 1))
    assert rows(fuse([one, two], weights=[1, 3])) == rows(fuse([one, two], weights=[0.5, 1.5]))
    assert rows(fuse([one, two], weights=[1, 0])) == rows(one)
    best = rows(fuse([one, two], weights=[1, 3]))[0]
    assert best[4] == pytest.approx((0.8 + 3 * 0.6) / 4)
    assert best[3] == pytest.approx((10 * 0.8 + 9 * 3 * 0.6) / (0.8 + 3 * 0.6))


@pytest.mark.parametrize("weights", [[1], [0, 0], [1, -1], [1, float("nan")], [1, float("inf")]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(InputError, match="fuse: expected"):
        fuse([found(), found()], weights=weights)
