"""Bounds of AP over the orders of equal scores, against all orders; detections beyond max_dets."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import score_ties
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.score_ties import ap_range, detection_notes
from metrics.tables import AnnotationTable, Catalog, DetectionTable

BOXES = np.array([[x, 0, 10, 10] for x in (0, 2, 3, 5)] + [[40, 40, 10, 10], [80, 0, 10, 10]], float)
"""A chain of overlaps: at IoU 0.5 the first box reaches only the second and third one, which reach the fourth. Others are far."""

CATALOG = Catalog.of([1, 2, 3], ["a", "b"])

Found = tuple[int, int, int, float]
image, label = st.sampled_from([0, 0, 1]), st.sampled_from([0, 0, 0, 1])
objects = st.lists(
    st.tuples(image, label, st.integers(0, 4), st.sampled_from([False, False, True])), min_size=1, max_size=5
)
scores = st.sampled_from([0.5, 0.5, 0.9])
found = st.lists(st.tuples(image, label, st.integers(0, 5), scores), min_size=2, max_size=4)
apart = st.tuples(image, label, st.sampled_from([0, 4, 5]), scores)


def tables(
    truth: list[tuple[int, int, int, bool]], rows: list[Found]
) -> tuple[AnnotationTable, DetectionTable]:
    image, label, box, crowd = (list(column) for column in zip(*truth, strict=True))
    xywh = BOXES[box]
    annotations = AnnotationTable(
        CATALOG, np.array(image, np.int32), np.array(label, np.int32), xywh, xywh[:, 2] * xywh[:, 3],
        np.array(crowd), np.zeros(len(truth), bool), np.arange(1, len(truth) + 1),
    )  # fmt: skip
    return annotations, detections_of(rows)


def detections_of(rows: list[Found]) -> DetectionTable:
    image, label, box, score = (list(column) for column in zip(*rows, strict=True))
    return DetectionTable(
        CATALOG, np.array(image, np.int32), np.array(label, np.int32), BOXES[box], np.array(score, float)
    )


def all_values(annotations: AnnotationTable, rows: list[Found], most: int) -> list[float]:
    """AP in every order of the detections; the rule takes ties as they are given, so that all orders are reached."""
    rule = MatchRule(max_dets=(most,), ties="given")
    return [
        evaluate(annotations, detections_of(list(order)), ["average_precision"], rule).value("ap")
        for order in set(permutations(rows))
    ]


@settings(max_examples=100, deadline=None)
@given(
    truth=objects,
    rows=found,
    most=st.sampled_from([1, 2, 100]),
    pairs=st.sampled_from([1, 3, score_ties._MOST_PAIRS]),
)
def test_fault_78_no_order_of_equal_scores_exceeds_the_bounds(
    truth: list[tuple[int, int, int, bool]], rows: list[Found], most: int, pairs: int
) -> None:
    """Also where there are too many pairs to compare them."""
    annotations, detections = tables(truth, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_ties, "_MOST_PAIRS", pairs)
        low, high, _ = ap_range(match(annotations, detections, MatchRule(max_dets=(most,))))
    values = all_values(annotations, rows, most)
    if np.isnan(low):
        assert np.isnan(values).all()
        return
    assert low <= min(values) + 1e-9
    assert max(values) - 1e-9 <= high


@settings(max_examples=80, deadline=None)
@given(truth=objects, rows=st.lists(apart, min_size=1, max_size=4, unique_by=lambda row: row[:3]))
def test_without_competition_within_an_image_the_bounds_are_reached(
    truth: list[tuple[int, int, int, bool]], rows: list[Found]
) -> None:
    annotations, detections = tables(truth, rows)  # boxes 0, 4 and 5 do not overlap
    low, high, _ = ap_range(match(annotations, detections))
    values = all_values(annotations, rows, 100)
    if np.isnan(low):
        assert np.isnan(values).all()
        return
    assert low == pytest.approx(min(values))
    assert high == pytest.approx(max(values))


@settings(max_examples=60, deadline=None)
@given(
    truth=objects, rows=st.lists(st.tuples(image, label, st.integers(0, 5), scores), min_size=2, max_size=12)
)
def test_the_bounds_do_not_depend_on_how_many_pairs_are_compared_at_once(
    truth: list[tuple[int, int, int, bool]], rows: list[Found]
) -> None:
    matches = match(*tables(truth, rows))
    expected = ap_range(matches)
    most = 5 * 12  # of a detection's image, class and score with its objects
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_ties, "_MOST_PAIRS", most)
        assert ap_range(matches) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("rows", "most", "bounds"),
    [
        # The third box takes the second object of two if it comes first, and leaves none for the first box.
        ([(0, 0, 0, 0.5), (0, 0, 2, 0.5)], 100, (0.5, 1.0)),
        # Only one detection counts: the one that reaches an object, or the other one.
        ([(0, 0, 1, 0.5), (0, 0, 5, 0.5)], 1, (0.0, 0.5)),
    ],
)
def test_fault_78_competition_within_an_image_widens_the_range(
    rows: list[Found], most: int, bounds: tuple[float, float]
) -> None:
    annotations, detections = tables([(0, 0, 1, False), (0, 0, 3, False)], rows)
    rule = MatchRule(iou_thresholds=(0.5,), max_dets=(most,))
    low, high, _ = ap_range(match(annotations, detections, rule))
    given = MatchRule(iou_thresholds=(0.5,), max_dets=(most,), ties="given")
    values = [
        evaluate(annotations, detections_of(order), ["average_precision"], given).value("ap")
        for order in (rows, rows[::-1])
    ]
    assert sorted(values) == pytest.approx(bounds, abs=0.01)
    assert low <= min(values)
    assert max(values) <= high


def test_without_equal_scores_the_range_is_the_value() -> None:
    rng = np.random.default_rng(0)
    rows = [(k % 3, k % 2, k % 6, float(score)) for k, score in enumerate(rng.permutation(60) / 60)]
    annotations, detections = tables(
        [(i, c, b, False) for i in range(3) for c in range(2) for b in (0, 3)], rows
    )
    matches = match(annotations, detections)
    value = evaluate(annotations, detections, ["average_precision"]).value("ap")
    assert ap_range(matches) == pytest.approx((value, value, 0))
    assert detection_notes(matches) == []


def test_fault_78_ties_that_decide_ap_are_noted() -> None:
    truth = [(k, 0, 0, False) for k in range(3)]
    rows = [(k, 0, box, 0.5) for k in range(3) for box in (0, 5)]
    (note,) = detection_notes(match(*tables(truth, rows)))
    assert note.kind == "score_ties"
    assert note.text == (
        "6 of 6 detections share their score with another one of their class: AP is between 0.500 and 1.000, depending on "
        "their order"
    )


def test_fault_79_many_detections_in_an_image_are_cut_with_numbers() -> None:
    count = 150_000
    boxes = np.tile([[0.0, 0, 10, 10]], (count, 1))
    image, label = np.zeros(count, np.int32), np.zeros(count, np.int32)
    detections = DetectionTable(CATALOG, image, label, boxes, np.linspace(1, 0, count))
    annotations, _ = tables([(0, 0, 0, False)], [(0, 0, 0, 0.5)])
    (note,) = detection_notes(match(annotations, detections))
    assert note.kind == "cut_detections"
    assert note.text == (
        "149,900 of 150,000 detections are beyond the 100 highest-scoring ones of their image and class and do not count "
        "(in 1 pair of image and class, with up to 150,000 detections)"
    )
