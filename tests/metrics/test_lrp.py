"""LRP equals its definition at every score, and optimal LRP is the minimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import SCORES, Scene, random_scene, scenes, with_detections

from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.localization_recall_precision import LRP, lrp_at, lrp_curve, optimal_lrp
from metrics.tables import AnnotationTable, Catalog, DetectionTable

Numbers = tuple[float, float, float, float]


def by_definition(scene: Scene, label: int, score: float, iou: float, area: str = "all") -> Numbers:
    """LRP and its components, matching again after removing the detections below `score`."""
    kept = with_detections(scene, np.flatnonzero(scene.detections.score >= score))
    outcome = match(kept.truth, kept.detections).at(iou, area)
    of_class = outcome.label == label
    errors = [1 - outcome.iou[place] for place in np.flatnonzero(of_class & outcome.tp)]
    true, false = len(errors), int((of_class & ~outcome.tp & ~outcome.ignored).sum())
    missed = int(outcome.positives[label]) - true
    if outcome.positives[label] == 0:
        return (math.nan,) * 4
    total = (sum(errors) / (1 - iou) + false + missed) / (true + false + missed)
    if not true:
        return total, math.nan, math.nan, 1.0
    return total, sum(errors) / true, false / (true + false), missed / (true + missed)


def parts(lrp: LRP, label: int) -> Numbers:
    return (
        float(lrp.error[label]),
        float(lrp.localization[label]),
        float(lrp.false_positives[label]),
        float(lrp.false_negatives[label]),
    )


@given(
    scenes(ignored=True),
    st.sampled_from(SCORES),
    st.sampled_from((0.5, 0.75)),
    st.sampled_from(("all", "medium")),
)
def test_lrp_at_a_score_equals_its_definition(scene: Scene, score: float, iou: float, area: str) -> None:
    lrp = lrp_at(match(scene.truth, scene.detections), score, iou, area)
    for label in range(len(lrp.error)):
        assert_allclose(parts(lrp, label), by_definition(scene, label, score, iou, area), atol=1e-12)


@given(scenes(ignored=True), st.sampled_from((0.5, 0.75)))
def test_optimal_lrp_is_the_minimum_over_all_scores(scene: Scene, iou: float) -> None:
    best = optimal_lrp(match(scene.truth, scene.detections), iou)
    for label in range(len(best.error)):
        tried = [by_definition(scene, label, score, iou)[0] for score in (*SCORES, 2.0)]
        assert_allclose(best.error[label], min(tried), atol=1e-12)
        if not math.isnan(best.score[label]):
            assert_allclose(
                parts(best, label), by_definition(scene, label, float(best.score[label]), iou), atol=1e-12
            )


def test_optimal_lrp_is_the_minimum_over_all_scores_on_a_larger_scene() -> None:
    scene = random_scene(4, images=10, classes=2, objects=80, detections=300)
    best = optimal_lrp(match(scene.truth, scene.detections))
    for label in range(2):
        tried = {s: by_definition(scene, label, s, 0.5)[0] for s in np.unique(scene.detections.score)}
        assert_allclose(best.error[label], min(tried.values()), atol=1e-12)
        assert best.score[label] == max(
            s for s, error in tried.items() if error <= min(tried.values()) + 1e-12
        )


@given(scenes())
def test_lrp_is_between_0_and_1_and_follows_from_its_components(scene: Scene) -> None:
    best = optimal_lrp(match(scene.truth, scene.detections))
    defined = ~np.isnan(best.error)
    assert ((best.error[defined] >= 0) & (best.error[defined] <= 1 + 1e-12)).all()
    for label in np.flatnonzero(~np.isnan(best.score)):
        recall, precision = 1 - best.false_negatives[label], 1 - best.false_positives[label]
        true, false, missed = 1.0, 1 / precision - 1, 1 / recall - 1  # per true positive
        total = (best.localization[label] / 0.5 * true + false + missed) / (true + false + missed)
        assert_allclose(best.error[label], total, atol=1e-12)


@given(scenes())
def test_the_objects_as_detections_have_no_error(scene: Scene) -> None:
    truth = scene.truth
    truth.crowd[:] = False
    truth.xywh[:, 2:] = np.maximum(truth.xywh[:, 2:], 1)
    found = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, np.ones(len(truth)))
    lrp = optimal_lrp(match(truth, found, MatchRule(area_ranges={"all": (0, 1e11)}, max_dets=(100,))))
    assert_allclose(lrp.error[~np.isnan(lrp.error)], 0, atol=1e-9)


def test_an_iou_above_1_by_rounding_has_no_error() -> None:
    catalog = Catalog.of([1], ["cat"])
    box = [[0.0, 48.3, 45.64573801, 30.38759895]]  # found by Hypothesis
    rng = np.random.default_rng(0)
    boxes = np.vstack([box, np.c_[rng.random((300, 2)) * 50, 1 + rng.random((300, 2)) * 50]])
    for one in boxes[:, None]:
        truth = AnnotationTable.of(catalog, [0], [0], one)
        found = DetectionTable(catalog, np.zeros(1, int), np.zeros(1, int), one, np.ones(1))
        best = optimal_lrp(match(truth, found))
        assert best.error[0] >= 0
        assert best.localization[0] >= 0


def one_object(*found: tuple[list[float], float]) -> tuple[AnnotationTable, DetectionTable]:
    catalog = Catalog.of([1], ["cat", "dog"])
    boxes = np.array([box for box, _ in found], float).reshape(-1, 4)
    empty = np.zeros(len(found), int)
    return AnnotationTable.of(catalog, [0], [0], [[0, 0, 10, 10]]), DetectionTable(
        catalog, empty, empty, boxes, np.array([score for _, score in found], float)
    )


def test_a_tie_is_not_split() -> None:
    tables = one_object(([0, 0, 10, 10], 0.5), ([50, 50, 10, 10], 0.5))
    best = optimal_lrp(match(*tables))
    assert best.error[0] == 1 / 2  # one true and one false positive; the authors' program would find 0
    assert lrp_curve(match(*tables), 0).score.tolist() == [0.5]


def test_a_box_at_exactly_the_threshold_costs_as_much_as_a_miss() -> None:
    best = optimal_lrp(match(*one_object(([0, 0, 10, 5], 0.9))))
    assert parts(best, 0) == (1.0, 0.5, 0.0, 0.0)
    assert best.score[0] == 0.9


def test_without_true_positives_all_objects_are_missed() -> None:
    for tables in (one_object(), one_object(([50, 50, 9, 9], 0.9))):
        best = optimal_lrp(match(*tables))
        assert_array_equal(parts(best, 0), (1.0, math.nan, math.nan, 1.0))
        assert_array_equal(parts(best, 1), (math.nan,) * 4)
        assert np.isnan(best.score).all()


def test_rows_are_means_over_the_classes_with_objects() -> None:
    scene = random_scene(3, images=10, classes=3, objects=60, detections=200)
    evaluation = evaluate(scene.truth, scene.detections, ["localization_recall_precision"])
    best = optimal_lrp(evaluation.matches)
    assert evaluation.value("olrp") == best.error.mean()
    assert evaluation.value("olrp_localization") == best.localization.mean()
    assert evaluation.value("olrp_small") == np.nanmean(optimal_lrp(evaluation.matches, area="small").error)
    assert evaluation.value("olrp_score", "class 1") == best.score[1]
    assert all(not row.higher_is_better for row in evaluation.rows)
    at_best = lrp_at(evaluation.matches, best.score)
    assert_array_equal(at_best.error, best.error)


def test_invalid_arguments_are_rejected() -> None:
    matches = match(*one_object(), MatchRule(iou_thresholds=(0.5, 1.0)))
    with pytest.raises(InputError, match="below 1"):
        optimal_lrp(matches, 1.0)
    with pytest.raises(InputError, match=r"expected a number or shape \(2,\)"):
        lrp_at(matches, np.zeros(3))
    with pytest.raises(InputError, match=r"class index in \[0, 2\)"):
        lrp_curve(matches, 2)
