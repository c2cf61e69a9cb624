"""Contracts of every registered measure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Scene, random_scene, scenes, with_detections

from metrics.evaluator import evaluate_matches
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures import MEASURES, Value
from metrics.tables import AnnotationTable, Catalog, DetectionTable

RULES = (
    MatchRule(),
    MatchRule(by_class=False),
    MatchRule(area_ranges={"tiny": (0, 64), "rest": (64, 9216)}),
    MatchRule(iou_thresholds=(0.3, 0.5), max_dets=(7,), area_ranges={"all": (0, 1e10), "tiny": (0, 64)}),
)


@pytest.fixture(params=MEASURES.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_measure_has_a_description(name: str) -> None:
    measure = MEASURES[name]
    assert measure.name == name
    assert measure.better in ("higher", "lower", "neither")
    assert measure.summary.endswith(".")
    assert measure.source


@given(scenes(ignored=True), st.sampled_from(RULES))
def test_values_of_all_classes_come_first(scene: Scene, rule: MatchRule) -> None:
    matches = match(scene.truth, scene.detections, rule)
    for name in MEASURES.names():
        values = MEASURES[name](matches)
        assert values, name
        assert all(isinstance(value, Value) and isinstance(value.value, float) for value in values)
        overall = [value.name for value in values if not value.class_name]
        assert len(set(overall)) == len(overall), name
        assert not any(value.class_name for value in values[: len(overall)]), name
        assert {value.class_name for value in values} <= {"", *matches.classes}
        assert {value.area for value in values} <= set(rule.areas), name
        assert not any(math.isinf(value.value) for value in values), name


def without_ties() -> Scene:
    scene = random_scene(11, images=9, classes=3, objects=80, detections=300, side=120.0)
    scene.detections.score[:] = np.random.default_rng(11).permutation(300) / 300
    scene.truth.ignored[::9] = True
    return scene


def numbers(scene: Scene, name: str) -> dict[tuple[str, str], float]:
    matches = match(scene.truth, scene.detections)
    return {(value.name, value.class_name): value.value for value in MEASURES[name](matches)}


def test_the_order_of_detections_does_not_matter_without_ties(name: str) -> None:
    scene = without_ties()
    shuffled = with_detections(scene, np.random.default_rng(0).permutation(300))
    assert numbers(shuffled, name) == pytest.approx(numbers(scene, name), abs=1e-12, nan_ok=True)


def test_the_order_of_images_and_classes_does_not_matter_without_ties(name: str) -> None:
    scene = without_ties()
    images, classes = len(scene.truth.catalog.image_ids), len(scene.truth.catalog.classes)
    catalog = Catalog.of(range(images), scene.truth.catalog.classes[::-1])
    truth, found = (
        replace(table, catalog=catalog, image=images - 1 - table.image, label=classes - 1 - table.label)
        for table in (scene.truth, scene.detections)
    )
    assert isinstance(truth, AnnotationTable)
    assert isinstance(found, DetectionTable)
    assert numbers(Scene(truth, found), name) == pytest.approx(numbers(scene, name), abs=1e-12, nan_ok=True)


def test_truth_and_detections_are_not_modified(name: str) -> None:
    scene = without_ties()
    before = scene.truth.fingerprint, scene.detections.xywh.tobytes(), scene.detections.score.tobytes()
    matches = match(scene.truth, scene.detections)
    bits = matches.valid.tobytes(), matches.pair_bits.tobytes(), matches.pair_iou.tobytes()
    MEASURES[name](matches)
    assert bits == (matches.valid.tobytes(), matches.pair_bits.tobytes(), matches.pair_iou.tobytes())
    assert before == (
        scene.truth.fingerprint,
        scene.detections.xywh.tobytes(),
        scene.detections.score.tobytes(),
    )


def test_a_measure_is_undefined_without_objects_and_detections(name: str) -> None:
    scene = random_scene(0)
    nothing = evaluate_matches(match(scene.truth.select([]), scene.detections.select([])), [name])
    for row in nothing.rows:
        assert math.isnan(row.value) or (row.value == 0 and row.name.startswith(("errors_", "loc_images"))), (
            row
        )


def test_an_additional_empty_class_changes_no_mean(name: str) -> None:
    """It has no objects and no detections; only answers about whole images can be right about it."""
    scene = without_ties()
    catalog = Catalog.of(scene.truth.catalog.image_ids, [*scene.truth.catalog.classes, "unicorn"])
    wider = Scene(replace(scene.truth, catalog=catalog), replace(scene.detections, catalog=catalog))
    before, after = numbers(scene, name), numbers(wider, name)
    if name != "presence":
        shared = {key: value for key, value in after.items() if key[1] != "unicorn"}
        assert shared == pytest.approx(before, abs=1e-12, nan_ok=True)
