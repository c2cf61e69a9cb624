"""A slice of images equals the images alone; a slice of objects equals its rule applied one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from strategies import Scene, random_scene, scenes

from metrics.errors import InputError
from metrics.evaluation import Evaluation
from metrics.evaluator import evaluate, evaluate_matches
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.measures import MEASURES
from metrics.slices import Axis, measure_slices, select_images, select_objects

QUICK = ("average_precision", "average_recall", "operating_point", "confusion")


@given(scenes(ignored=True), st.data())
def test_a_slice_of_images_equals_matching_them_alone(scene: Scene, data: st.DataObject) -> None:
    count = len(scene.truth.catalog.image_ids)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    rule = MatchRule(max_dets=(1, 2, 3))
    part = select_images(match(scene.truth, scene.detections, rule), mask)
    alone = match(scene.truth.select(mask), scene.detections.select(mask), rule)
    assert part.truth.catalog == alone.truth.catalog
    for name in ("start", "row", "valid", "inside"):
        assert_array_equal(getattr(part, name), getattr(alone, name))
    assert_array_equal(pairs(part), pairs(alone))
    assert_array_equal(part.curves().precision, alone.curves().precision)
    assert_array_equal(part.tp_count, alone.tp_count)


def pairs(matches: Matches) -> NDArray[np.float64]:
    """The pairs in a canonical order."""
    columns = (
        matches.pair_row,
        matches.pair_object,
        matches.pair_rank,
        matches.pair_iou,
        *matches.pair_bits.T,
    )
    table = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    return table[np.lexsort(table[:, :2].T)]


def test_every_measure_of_a_slice_of_images_equals_that_of_the_images_alone() -> None:
    scene = random_scene(5, images=12, objects=80, detections=300)
    axis = Axis.from_names("half", "image", ["a", "b"] * 6)
    table = measure_slices(match(scene.truth, scene.detections), [axis], MEASURES.names(), classes=True)
    for number, name in enumerate(("a", "b")):
        mask = axis.index == number
        alone = evaluate(scene.truth.select(mask), scene.detections.select(mask), MEASURES.names())
        here = [row for row in table.rows if row.value == name]
        assert [row.row.record()[:6] for row in here] == [row.record()[:6] for row in alone.rows]
        assert_array_equal([row.row.value for row in here], [row.value for row in alone.rows])
        assert here[0].images == 6
        assert here[0].objects == int((~alone.matches.truth.crowd).sum())


def by_the_rule(scene: Scene, inside: NDArray[np.bool_], label: int, objects: float | None) -> float:
    """Average precision of a class by the rule of object slices, from the outcome of each detection."""
    outcome = match(scene.truth, scene.detections).at(0.5)
    wanted = sum(
        bool(outcome.valid[g] and inside[g] and scene.truth.label[g] == label)
        for g in range(len(scene.truth))
    )
    if not wanted:
        return math.nan
    true = false = 0
    points = []
    for place in np.flatnonzero(outcome.label == label):
        if outcome.tp[place] and inside[outcome.object[place]]:
            true += 1
        elif not outcome.tp[place] and not outcome.ignored[place]:
            false += 1
        weight = true if objects is None else true / wanted * objects
        points.append((true / wanted, weight / (weight + false) if weight else 0.0))
    best = [
        max((p for recall, p in points if recall >= level), default=0.0) for level in np.linspace(0, 1, 101)
    ]
    return sum(best) / 101


@given(scenes(ignored=True), st.data())
def test_a_slice_of_objects_ignores_matches_of_others_and_keeps_all_false_positives(
    scene: Scene, data: st.DataObject
) -> None:
    count = len(scene.truth)
    inside = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    scene.truth.area[:] = np.minimum(scene.truth.area, 9e9)
    whole = match(scene.truth, scene.detections)
    part = select_objects(whole, inside)
    for label in range(len(whole.classes)):
        expected = by_the_rule(scene, inside, label, None)
        assert_allclose(part.curves().precision[0, :, label, 0].mean(), expected, atol=1e-12)
        assert_allclose(
            part.at(0.5).average_precision(7.5)[label], by_the_rule(scene, inside, label, 7.5), atol=1e-12
        )
    others = select_objects(whole, ~inside)
    outcomes = [matches.at(0.5) for matches in (whole, part, others)]
    found = [int(outcome.tp.sum()) for outcome in outcomes]
    assert found[0] == found[1] + found[2]
    false = [(~outcome.tp & ~outcome.ignored) for outcome in outcomes]
    assert_array_equal(false[0], false[1])
    assert_array_equal(false[0], false[2])


@given(scenes())
def test_normalized_precision_with_the_actual_number_of_objects_is_precision(scene: Scene) -> None:
    outcome = match(scene.truth, scene.detections).at(0.5)
    for label, objects in enumerate(outcome.positives.tolist()):
        if objects:
            assert_allclose(
                outcome.average_precision(objects)[label], outcome.average_precision()[label], atol=1e-12
            )


def halves(scene: Scene) -> Axis:
    return Axis.from_bins(
        "row", "object", np.arange(len(scene.truth)), [len(scene.truth) / 2], ["low", "high"]
    )


def test_a_table_of_slices_has_the_difference_from_the_whole() -> None:
    scene = random_scene(6, objects=100, detections=500)
    matches = match(scene.truth, scene.detections)
    table = measure_slices(matches, [halves(scene)], QUICK)
    whole = evaluate_matches(matches, QUICK)
    low = evaluate_matches(select_objects(matches, np.arange(100) <= 50), QUICK)
    assert isinstance(low, Evaluation)
    for row in table.rows:
        if row.value == "low" and row.row.name != "ap_n":
            assert_allclose(row.row.value, low.value(row.row.name))
            assert_allclose(row.difference, low.value(row.row.name) - whole.value(row.row.name))
    assert {row.value for row in table.rows} == {"low", "high"}
    per_class = matches.positives[0].mean()
    expected = select_objects(matches, np.arange(100) <= 50).at(0.5).average_precision(per_class).mean()
    assert table.value("ap_n", "row", "low") == pytest.approx(expected)
    assert table.value("ap50", "row", "low") < table.value(
        "ap_n", "row", "low"
    )  # half the objects, all false positives
    values = [table.value("ap_n", "row", name) for name in ("low", "high")]
    overall = matches.at(0.5).average_precision(per_class).mean()
    assert table.sensitivity("row") == pytest.approx((max(values) - min(values), max(values) - overall))
    frame = table.to_frame()
    assert set(frame["ownership"]) == {
        "only the slice's objects are valid; detections that match other objects are ignored; false positives count"
        " in every slice"
    }
    assert list(frame.columns[:5]) == ["slice_axis", "slice_value", "slice_of", "images", "objects"]
    assert not frame["class"].any()


def test_an_empty_slice_has_nan() -> None:
    scene = random_scene(6)
    axes = [
        Axis("weather", "image", ("rain", "sun"), np.zeros(20, np.int32)),
        Axis("size", "object", ("small", "large"), np.zeros(120, np.int32)),
    ]
    table = measure_slices(match(scene.truth, scene.detections), axes)
    assert math.isnan(table.value("ap", "weather", "sun"))
    assert math.isnan(table.value("ap_n", "size", "large"))
    assert table.value("ap", "weather", "rain") == evaluate_matches(
        match(scene.truth, scene.detections)
    ).value("ap")
    assert table.sensitivity("size")[0] == 0


def test_invalid_arguments_are_rejected() -> None:
    scene = random_scene(6)
    matches = match(scene.truth, scene.detections)
    with pytest.raises(InputError, match="axis 'x' is of 3 images, but the matches have 20"):
        measure_slices(matches, [Axis("x", "image", ("a",), np.zeros(3, int))])
    with pytest.raises(InputError, match=r"expected a mask of shape \(120,\), got int64"):
        select_objects(matches, np.zeros(120, int))
    with pytest.raises(InputError, match=r"expected a mask of shape \(20,\)"):
        select_images(matches, np.zeros(3, bool))
    table = measure_slices(matches, [Axis("weather", "image", ("rain",), np.zeros(20, int))])
    with pytest.raises(InputError, match="no axis 'wether'; did you mean 'weather'"):
        table.value("ap", "wether", "rain")
    with pytest.raises(InputError, match="no slice 'rian'; did you mean 'rain'"):
        table.value("ap", "weather", "rian")
    with pytest.raises(InputError, match="no value 'app'"):
        table.value("app", "weather", "rain")
    with pytest.raises(InputError, match="axis 'weather' has no 'ap_n'"):
        table.sensitivity("weather")
