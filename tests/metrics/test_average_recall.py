"""Average recall: COCO's against brute force, and Hosang's integral against a fine sum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from strategies import Scene, random_scene, scenes

from metrics.boxes import convert
from metrics.evaluator import evaluate
from metrics.iou import box_iou
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.average_recall import recalls
from metrics.measures.integral_recall import integral_recall


def test_recall_rises_with_max_dets_and_falls_with_iou() -> None:
    scene = random_scene(7)
    recall = recalls(match(scene.truth, scene.detections, MatchRule(max_dets=(1, 2, 5, 100))))
    assert recall.shape == (4, 4, 10, 4)
    assert not (np.diff(recall, axis=0) < 0).any()
    assert not (np.diff(recall[:, 0], axis=1) > 0).any()


@given(scenes())
def test_recall_is_the_share_of_detected_objects(scene: Scene) -> None:
    matches = match(scene.truth, scene.detections)
    outcome = matches.at(0.5)
    for label in range(len(matches.classes)):
        valid = outcome.valid & (scene.truth.label == label)
        recall = recalls(matches)[-1, 0, 0, label]
        if not valid.any():
            assert math.isnan(recall)
        else:
            assert recall == pytest.approx(np.mean(outcome.matched_by[valid] >= 0))


def nearest(scene: Scene, label: int) -> np.ndarray:
    """Highest IoU of each object of a class with a detection of that class, by brute force."""
    truth, found = scene.truth, scene.detections
    best = []
    for row in np.flatnonzero((truth.label == label) & ~truth.crowd & (truth.area <= 1e10)):
        near = (found.image == truth.image[row]) & (found.label == label)
        iou = box_iou(convert(truth.xywh[row : row + 1], "xywh", "xyxy"), found.boxes[near])
        best.append(min(iou.max(initial=0.0), 1.0))
    return np.array(best)


@given(scenes())
def test_the_integral_is_the_limit_of_a_fine_sum(scene: Scene) -> None:
    matches = match(scene.truth, scene.detections)
    total, *of_classes = (value.value for value in integral_recall(matches))
    steps = np.linspace(0.5, 1, 20001)[1:] - 0.5 / 40000  # midpoints
    expected = [
        2 * 0.5 * np.mean([(best >= step).mean() for step in steps[::100]]) if len(best) else math.nan
        for best in (nearest(scene, label) for label in range(len(of_classes)))
    ]
    assert of_classes == pytest.approx(expected, abs=0.01, nan_ok=True)
    if any(not math.isnan(value) for value in expected):
        assert total == pytest.approx(np.nanmean(of_classes))
    else:
        assert math.isnan(total)


def test_the_integral_respects_max_dets_and_pooled_classes() -> None:
    scene = random_scene(8)
    matches = match(scene.truth, scene.detections)
    few, many = (integral_recall(matches, max_dets=most)[0].value for most in (1, 100))
    assert few < many
    pooled = match(scene.truth, scene.detections, MatchRule(by_class=False))
    names = [value.class_name for value in integral_recall(pooled)]
    assert names == ["", "all"]
    assert evaluate(scene.truth, scene.detections, ("integral_recall",)).value("integral_recall") == many
