"""Matches and curves equal those of pycocotools to the last bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracles import RULES, assert_is_the_reference, coco_reference
from strategies import Scene, random_scene, scenes, with_detections

from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.matching import match


@given(scenes(), st.sampled_from(RULES))
def test_matches_equal_the_reference(scene: Scene, rule: MatchRule) -> None:
    assume(len(scene.detections) > 0)
    reference = coco_reference(scene.truth, scene.detections, rule)
    assert_is_the_reference(match(scene.truth, scene.detections, rule), reference)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "shape",
    [
        {"images": 20},
        {"images": 2, "classes": 1, "objects": 150, "detections": 500, "side": 600.0},
        {"images": 1, "classes": 2, "objects": 160, "detections": 400, "side": 60.0, "crowds": 0.3},
    ],
    ids=["many images", "dense", "heaped"],
)
def test_matches_equal_the_reference_on_larger_scenes(rule: MatchRule, shape: dict[str, float]) -> None:
    scene = random_scene(3, **shape)  # type: ignore[arg-type]
    assert_is_the_reference(
        match(scene.truth, scene.detections, rule), coco_reference(scene.truth, scene.detections, rule)
    )


@given(scenes(ignored=True))
def test_an_ignored_object_is_matched_once_and_never_missed(scene: Scene) -> None:
    outcome = match(scene.truth, scene.detections).at(0.5)
    ignored = np.flatnonzero(scene.truth.ignored & ~scene.truth.crowd)
    assert not outcome.valid[ignored].any()
    taken = outcome.object[np.isin(outcome.object, ignored)]
    assert len(np.unique(taken)) == len(taken)
    assert outcome.ignored[np.isin(outcome.object, ignored)].all()
    assert outcome.positives.sum() == (~scene.truth.ignored & ~scene.truth.crowd).sum()


@given(scenes(ignored=True), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter_without_ties(scene: Scene, random: object) -> None:
    scene.detections.score[:] = np.linspace(0.9, 0.1, len(scene.detections))
    rows = np.arange(len(scene.detections))
    random.shuffle(rows)  # type: ignore[attr-defined]
    one, other = (
        match(scene.truth, scene.detections),
        match(scene.truth, with_detections(scene, rows).detections),
    )
    assert_array_equal(one.curves().precision, other.curves().precision)
    assert_array_equal(one.tp_count, other.tp_count)


def test_without_detections_numbers_are_zero_and_without_objects_undefined() -> None:
    scene = random_scene(0)
    nothing = with_detections(scene, np.arange(0))
    curves = match(nothing.truth, nothing.detections).curves()
    valid = match(nothing.truth, nothing.detections).positives > 0
    assert (curves.recall[:, valid.T] == 0).all()
    assert np.isnan(curves.recall[:, ~valid.T]).all()
    without = nothing.truth.select([])
    assert np.isnan(match(without, nothing.detections.select([])).curves().precision).all()


def test_matches_can_be_pickled() -> None:
    scene = random_scene(1)
    matches = match(scene.truth, scene.detections)
    again = pickle.loads(pickle.dumps(matches))
    assert_array_equal(again.curves().precision, matches.curves().precision)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"iou_thresholds": ()}, "1 to 64"),
        ({"iou_thresholds": (0.75, 0.5)}, "rising"),
        ({"iou_thresholds": (0.0, 0.5)}, r"\(0, 1\]"),
        ({"area_ranges": {"small": (9, 1)}}, "'small' has minimum 9 above maximum 1"),
        ({"max_dets": (10, 10)}, "rising"),
        ({"max_dets": ()}, "rising"),
    ],
)
def test_an_invalid_rule_is_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MatchRule(**setting)  # type: ignore[arg-type]


def test_an_unknown_threshold_area_or_max_dets_is_refused() -> None:
    scene = random_scene(1)
    matches = match(scene.truth, scene.detections)
    with pytest.raises(InputError, match=r"0\.66 is not among the rule's thresholds"):
        matches.at(0.66)
    with pytest.raises(InputError, match="did you mean 'small'"):
        matches.at(0.5, "smal")
    with pytest.raises(InputError, match="expected 1 to 100"):
        matches.curves(300)


def test_tables_of_different_catalogs_are_refused() -> None:
    scene, other = random_scene(1), random_scene(1, images=21)
    with pytest.raises(InputError, match=r"truth\.catalog"):
        match(scene.truth, other.detections)
