"""Precision, recall and F at a score, and their curves, against brute-force counts at every score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SCORES, Scene, random_scene, scenes

from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.matching import match
from metrics.measures.operating_point import operating_point, score_curve
from metrics.tables import AnnotationTable


@given(scenes(ignored=True), st.sampled_from(SCORES))
def test_counts_at_a_score_are_those_of_the_detections_kept(scene: Scene, score: float) -> None:
    matches = match(scene.truth, scene.detections)
    outcome = matches.at(0.5)
    kept = outcome.score >= score
    for label in [None, *range(len(matches.classes))]:
        mine = kept if label is None else kept & (outcome.label == label)
        true, false = score_curve(outcome, label).at(score)
        assert true == (outcome.tp & mine).sum()
        assert false == (~outcome.tp & ~outcome.ignored & mine).sum()
        values = operating_point(matches, score)
        name = "" if label is None else matches.classes[label]
        precision, recall, f1, *_ = (value.value for value in values if value.class_name == name)
        wanted = outcome.positives.sum() if label is None else outcome.positives[label]
        assert precision == pytest.approx(true / (true + false) if true + false else math.nan, nan_ok=True)
        assert recall == pytest.approx(true / wanted if wanted else math.nan, nan_ok=True)
        if true:
            assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
        else:
            assert f1 == 0 if wanted else math.isnan(f1)


@given(scenes(), st.sampled_from((0.5, 1.0, 2.0)))
def test_the_best_score_is_the_best_of_all(scene: Scene, beta: float) -> None:
    outcome = match(scene.truth, scene.detections).at(0.5)
    curve = score_curve(outcome)
    best_score, best = curve.best(beta)
    if curve.positives == 0 or len(curve.score) == 0:
        assert math.isnan(best_score)
        assert math.isnan(best)
        return
    tried = []
    for score in np.unique(outcome.score[~outcome.ignored]):
        true, false = curve.at(score)
        precision, recall = true / (true + false), true / curve.positives
        weighted = beta**2 * precision + recall
        tried.append((((1 + beta**2) * precision * recall / weighted) if true else 0.0, score))
    highest = max(f for f, _ in tried)
    assert best == pytest.approx(highest)
    assert best_score == max(score for f, score in tried if f == pytest.approx(highest, abs=1e-12))


def test_detections_with_equal_scores_are_kept_or_dropped_together() -> None:
    scene = random_scene(9)
    curve = score_curve(match(scene.truth, scene.detections).at(0.5))
    assert (np.diff(curve.score) < 0).all()
    assert len(curve.score) == len(
        np.unique(scene.detections.score[match(scene.truth, scene.detections).at(0.5).row])
    )
    assert (np.diff(curve.recall) >= 0).all()
    assert curve.precision[-1] == curve.tp[-1] / (curve.tp[-1] + curve.fp[-1])


def test_undefined_values_are_nan() -> None:
    scene = random_scene(9)
    empty = AnnotationTable.of(scene.truth.catalog, [], [], [])
    values = {
        value.name: value.value
        for value in operating_point(match(empty, scene.detections), 0.5)
        if not value.class_name
    }
    assert values["precision"] == 0
    assert all(math.isnan(values[name]) for name in ("recall", "f1", "best_f1", "best_score"))
    high = {
        value.name: value.value
        for value in operating_point(match(scene.truth, scene.detections), 2.0)
        if not value.class_name
    }
    assert math.isnan(high["precision"])
    assert high["recall"] == high["f1"] == 0


def test_names_contain_beta_and_a_score_has_no_better_direction() -> None:
    scene = random_scene(9)
    settings = {"operating_point": {"score": 0.3, "iou": 0.75, "beta": 0.5}}
    evaluation = evaluate(scene.truth, scene.detections, ("operating_point",), settings=settings)
    assert evaluation.value("f0_5") <= evaluation.value("best_f0_5")
    ways = {row.name: row.higher_is_better for row in evaluation.rows}
    assert ways["precision"] is True
    assert ways["best_score"] is None
    assert {row.iou for row in evaluation.rows} == {"0.75"}
    with pytest.raises(InputError, match="above 0"):
        operating_point(evaluation.matches, beta=0)
