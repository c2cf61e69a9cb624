"""Runs that can be compared: on the same ground truth, or on the images whose ground truth they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scene_runs import Tables, run, scene_of
from strategies import Scene

from metrics.compare import compare
from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.tables import AnnotationTable, DetectionTable


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


def test_fault_37_different_images_are_rejected_and_the_intersection_is_suggested(scene: Scene) -> None:
    fewer = (scene.truth.select(np.arange(10, 60)), scene.detections.select(np.arange(10, 60)))
    runs = {"ssd": run(scene), "fcos": fewer}
    with pytest.raises(
        InputError, match=r"ssd and fcos were evaluated on different images \(60 and 50, 50 in both\)"
    ) as e:
        compare(runs)
    assert "images='intersection' to compare on the 50 images" in str(e.value)
    found = compare(runs, images="intersection", resamples=20)
    assert found.method.images == 50
    assert str(found.notes[0]) == (
        "compared on the 50 images whose ground truth all runs share (the runs have 50 and 60)"
    )
    expected = evaluate(*fewer).headline["ap"]
    assert found.standing("ssd").value == pytest.approx(expected, abs=1e-14)
    assert found.standing("fcos").value == pytest.approx(expected, abs=1e-14)


def test_fault_37_different_objects_in_an_image_are_rejected(scene: Scene) -> None:
    moved = scene.truth.xywh.copy()
    moved[3, 0] += 1
    other = replace(scene.truth, xywh=moved)
    image = scene.truth.catalog.image_ids[scene.truth.image[3]]
    with pytest.raises(
        InputError, match=rf"different objects in 1 of 60 images, first in image {image}; evaluate both"
    ):
        compare({"a": run(scene), "b": (other, scene.detections)})
    found = compare({"a": run(scene), "b": (other, scene.detections)}, images="intersection", resamples=20)
    assert found.method.images == 59


def test_the_order_of_objects_and_file_names_do_not_change_the_ground_truth(scene: Scene) -> None:
    truth = scene.truth
    rows = np.random.default_rng(0).permutation(len(truth))
    named_files = replace(truth.catalog, file_names=[f"{k}.jpg" for k in truth.catalog.image_ids])
    columns = (getattr(truth, name)[rows] for name in ["image", "label", "xywh", "area", "crowd", "ignored"])
    other = AnnotationTable(named_files, *columns, np.arange(len(truth)))
    found = scene.detections
    table = DetectionTable(named_files, found.image, found.label, found.xywh, found.score)
    result = compare({"a": run(scene), "b": (other, table)}, resamples=20)
    assert result.difference("a", "b").delta == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {}, "no runs were given"),
        (lambda s: {"a": []}, "a has no runs; remove it"),
        (
            lambda s: {"a": [s.truth, s.detections, s.detections]},
            r"a: expected Matches or \(truth, detections\) for each seed",
        ),
        (lambda s: {"a": (s.truth.select([]), s.detections.select([]))}, "a was evaluated on no images"),
        (
            lambda s: {"a": match(*run(s)), "b": match(*run(s), MatchRule(max_dets=(1, 5)))},
            "b and a were matched under different rules; use the same MatchRule for both",
        ),
        (
            lambda s: {"a": run(s), "b": _renamed(s)},
            r"a and b were evaluated on different classes \('class 0', 'other'\)",
        ),
    ],
)
def test_runs_that_cannot_be_compared_are_rejected(
    scene: Scene, change: Callable[[Scene], dict[str, object]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compare(change(scene))  # type: ignore[arg-type]


def _renamed(scene: Scene) -> Tables:
    catalog = replace(scene.truth.catalog, classes=("other", "class 1", "class 2"))
    return replace(scene.truth, catalog=catalog), replace(scene.detections, catalog=catalog)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measure": "app"}, "no value 'app' can be resampled; did you mean 'ap'"),
        ({"images": "union"}, "images: expected 'same' or 'intersection'"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1"),
        ({"resamples": 0}, "resamples: expected at least 1"),
        ({"groups": [1, 2]}, "groups: expected one group for each of 60 images, got 2"),
        ({"groups": "video"}, "groups: no image column 'video'"),
        ({"groups": {10: "a"}}, "groups: 59 images have no group, the first is 13"),
    ],
)
def test_invalid_settings_are_rejected(scene: Scene, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare({"a": run(scene)}, **settings)  # type: ignore[arg-type]
