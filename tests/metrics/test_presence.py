"""Image-level counts equal those of a loop over images and classes."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import SCORES, Scene, random_scene, scenes

from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.presence import presence, presence_table


def plain_count(scene: Scene, score: float) -> list[list[int]]:
    """For each class true positives, false positives, false negatives, true negatives."""
    truth, found = scene.truth, scene.detections
    table = []
    for label in range(len(truth.catalog.classes)):
        cells = [0, 0, 0, 0]
        for image in range(len(truth.catalog.image_ids)):
            here = (truth.image == image) & (truth.label == label)
            valid = here & ~truth.crowd & ~truth.ignored
            predicted = bool(((found.image == image) & (found.label == label) & (found.score >= score)).any())
            if here.any() and not valid.any():
                continue
            cells[
                {(True, True): 0, (False, True): 1, (True, False): 2, (False, False): 3}[
                    bool(valid.any()), predicted
                ]
            ] += 1
        table.append(cells)
    return table


@given(scenes(ignored=True), st.sampled_from(SCORES))
def test_image_counts_equal_those_of_a_loop(scene: Scene, score: float) -> None:
    matches = match(scene.truth, scene.detections, MatchRule(area_ranges={"any": (-np.inf, np.inf)}))
    assert np.transpose(presence_table(matches, score)).tolist() == plain_count(scene, score)


def test_shares_are_over_images_and_the_mean_is_over_classes() -> None:
    scene = random_scene(5, images=12, classes=3, objects=20, detections=30, crowds=0.0)
    rows = evaluate(scene.truth, scene.detections, ["presence"], settings={"presence": {"score": 0.4}})
    per_class = []
    for name, (tp, fp, fn, tn) in zip(scene.truth.catalog.classes, plain_count(scene, 0.4), strict=True):
        assert rows.value("image_accuracy", name) == (tp + tn) / 12
        assert rows.value("image_sensitivity", name) == tp / (tp + fn)
        assert rows.value("image_specificity", name) == tn / (tn + fp)
        per_class.append(tn / (tn + fp))
    assert rows.value("image_specificity") == np.mean(per_class)


def test_specificity_is_undefined_if_every_image_has_the_class() -> None:
    scene = random_scene(5, images=1, classes=1, objects=3, detections=3, crowds=0.0)
    values = {value.name: value.value for value in presence(match(scene.truth, scene.detections))}
    assert math.isnan(values["image_specificity"])
    assert values["image_sensitivity"] in (0.0, 1.0)


def test_without_images_values_are_nan() -> None:
    scene = random_scene(5)
    empty = match(scene.truth.select([]), scene.detections.select([]))
    assert all(math.isnan(value.value) for value in presence(empty))
