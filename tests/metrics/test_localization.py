"""Single-object localization equals a loop over images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Scene, random_scene, scenes

from metrics.evaluator import evaluate
from metrics.iou import box_iou
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.localization import localization
from metrics.tables import AnnotationTable, Catalog, DetectionTable


def one_by_one(scene: Scene) -> list[tuple[int, float, bool]]:
    """For each image with one object: its class, the IoU of the best detection, and whether it has the class."""
    truth, found = scene.truth, scene.detections
    judged = []
    for image in range(len(truth.catalog.image_ids)):
        objects = np.flatnonzero((truth.image == image) & ~truth.crowd & ~truth.ignored)
        if len(objects) != 1:
            continue
        rows = np.flatnonzero(found.image == image)
        if not len(rows):
            judged.append((int(truth.label[objects[0]]), 0.0, False))
            continue
        best = rows[np.argmax(found.score[rows])]
        iou = float(box_iou(truth.boxes[objects], found.boxes[[best]])[0, 0])
        judged.append((int(truth.label[objects[0]]), iou, bool(found.label[best] == truth.label[objects[0]])))
    return judged


@given(scenes(most_objects=4, ignored=True), st.sampled_from((0.4, 0.6)))
def test_each_image_is_evaluated_by_its_highest_scoring_detection(scene: Scene, iou: float) -> None:
    matches = match(scene.truth, scene.detections, MatchRule(area_ranges={"any": (-np.inf, np.inf)}))
    values = {(v.name, v.class_name): v.value for v in localization(matches, iou)}
    judged = one_by_one(scene)
    for label, name in [(None, ""), *enumerate(matches.classes)]:
        these = [(overlap, right) for k, overlap, right in judged if label is None or k == label]
        expected = {
            "loc_images": len(these),
            "loc_iou": mean([overlap for overlap, _ in these]),
            "loc_iou_accuracy": mean([overlap >= iou for overlap, _ in these]),
            "loc_class_accuracy": mean([right for _, right in these]),
            "loc_accuracy": mean([right and overlap >= iou for overlap, right in these]),
        }
        for key, value in expected.items():
            assert values[key, name] == pytest.approx(value, abs=1e-9, nan_ok=True), key


def mean(values: list[float] | list[bool]) -> float:
    return float(np.mean(values)) if values else math.nan


def test_an_image_without_a_detection_is_wrong_and_one_with_two_objects_does_not_count() -> None:
    catalog = Catalog.of([1, 2, 3], ["cat", "dog"])
    box, half = [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]
    truth = AnnotationTable.of(catalog, [0, 1, 2, 2], [0, 0, 1, 1], [box] * 4)
    found = DetectionTable(
        catalog, np.array([0, 0]), np.array([0, 1]), np.array([half, box]), np.array([0.9, 0.8])
    )
    evaluation = evaluate(truth, found, ["localization"])
    assert evaluation.value("loc_images") == 2
    assert evaluation.value("loc_iou") == 0.25
    assert evaluation.value("loc_iou_accuracy") == 0.5  # an IoU of exactly the threshold is enough
    assert evaluation.value("loc_class_accuracy") == 0.5
    assert math.isnan(evaluation.value("loc_accuracy", "dog"))
    strict = evaluate(truth, found, ["localization"], settings={"localization": {"iou": 0.6}})
    assert strict.value("loc_accuracy") == 0


def test_without_classes_the_class_is_always_correct() -> None:
    scene = random_scene(3, images=40, objects=40, detections=400, crowds=0.0)
    matches = match(scene.truth, scene.detections, MatchRule(by_class=False))
    values = {value.name: value.value for value in localization(matches)}
    assert values["loc_class_accuracy"] == 1
    assert values["loc_accuracy"] == values["loc_iou_accuracy"]


def test_without_such_images_values_are_nan() -> None:
    scene = random_scene(3, images=1, objects=5, crowds=0.0)
    values = {value.name: value.value for value in localization(match(scene.truth, scene.detections))}
    assert values.pop("loc_images") == 0
    assert all(math.isnan(value) for value in values.values())
