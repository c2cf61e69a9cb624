"""Resampling by weights equals evaluating the physically resampled data set, for every measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from resampled_scenes import drawn_counts, physically_resampled
from strategies import Scene, random_scene, scenes

from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures import MEASURES
from metrics.measures.error_types import FIXABLE
from metrics.resampling.blocks import Block
from metrics.resampling.rankings import Ranking, rank_detections
from metrics.resampling.replicates import Replicates, leave_out, replicate, weigh
from metrics.resampling.run_rankings import RunRankings, SwappedRankings
from metrics.resampling.statistics import average_precision, average_recall, named_statistic, operating_point
from metrics.resampling.weights import (
    image_weights,
    leave_one_out_weights,
    swap_weights,
    unit_index,
    unit_weights,
)
from metrics.tables import AnnotationTable, Catalog, DetectionTable

RULES = (
    MatchRule(),
    MatchRule(iou_thresholds=(0.3, 0.5, 0.75), max_dets=(1, 2, 5), by_class=False),
    MatchRule(area_ranges={"tiny": (0, 64), "rest": (64, 9216)}, max_dets=(2, 100)),
)


def evaluated(scene: Scene, rule: MatchRule) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """All values of the measures by name, over all classes and per class."""
    matches = match(scene.truth, scene.detections, rule)
    values = [
        *MEASURES["average_precision"](matches),
        *MEASURES["average_recall"](matches),
        *MEASURES["operating_point"](matches),
        *MEASURES["localization_recall_precision"](matches),
        *MEASURES["error_types"](matches),
    ]
    return (
        {value.name: value.value for value in values if not value.class_name},
        {(value.name, value.class_name): value.value for value in values if value.class_name},
    )


def names_of(rule: MatchRule) -> list[str]:
    points = [f"ap{iou * 100:.6g}" for iou in rule.iou_thresholds]
    sizes = [f"{kind}_{area}" for kind in ("ap", "ar", "olrp") for area in rule.areas[1:]]
    costs = [f"cost_{kind}" for kind in FIXABLE]
    cuts = [f"ar_{cut}" for cut in rule.max_dets]
    return ["ap", "precision", "recall", "f1", "best_f1", "olrp", *points, *sizes, *costs, *cuts]


def replicated(scene: Scene, weights: NDArray[np.uint8], rule: MatchRule) -> list[Replicates]:
    rankings = RunRankings(match(scene.truth, scene.detections, rule))
    return replicate(rankings, weights, [named_statistic(name, rule) for name in names_of(rule)])


@given(scenes(ignored=True), st.sampled_from(RULES), st.data())
def test_weights_equal_physical_copies_for_every_measure(
    scene: Scene, rule: MatchRule, data: st.DataObject
) -> None:
    counts = drawn_counts(scene, data)
    expected, by_class = evaluated(physically_resampled(scene, counts), rule)
    for found in replicated(scene, counts[None], rule):
        name = found.statistic.name
        assert_allclose(found.values, expected[name], rtol=0, atol=1e-12, err_msg=name)
        for label, class_name in enumerate(scene.truth.catalog.classes if rule.by_class else ["all"]):
            if (name, class_name) in by_class:
                assert_allclose(found.class_values[0, label], by_class[name, class_name], rtol=0, atol=1e-12)


@given(scenes(ignored=True), st.data())
def test_weights_equal_physical_copies_for_both_voc_measures(scene: Scene, data: st.DataObject) -> None:
    rule = MatchRule()
    counts = drawn_counts(scene, data)
    copied = physically_resampled(scene, counts)
    values = MEASURES["voc_average_precision"](match(copied.truth, copied.detections, rule))
    expected = {value.name: value.value for value in values if not value.class_name}
    rankings = RunRankings(match(scene.truth, scene.detections, rule))
    for found in replicate(
        rankings, counts[None], [named_statistic("voc07_ap", rule), named_statistic("voc10_ap", rule)]
    ):
        # The resampled value adds pycocotools' epsilon to the denominator.
        assert_allclose(found.values, expected[found.statistic.name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_physical_copies_on_a_larger_scene_in_every_lane(seed: int) -> None:
    scene = random_scene(seed, images=30, objects=200, detections=900)
    weights = image_weights(30, 150, seed)  # three blocks, the last not full
    for row in (0, 63, 64, 149):
        expected, _ = evaluated(physically_resampled(scene, weights[row]), MatchRule())
        for found in replicated(scene, weights, MatchRule()):
            name = found.statistic.name
            assert_allclose(found.values[row], expected[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_the_estimate_equals_the_engines(seed: int) -> None:
    scene = random_scene(seed)
    expected, _ = evaluated(scene, MatchRule())
    for found in replicated(scene, image_weights(20, 1), MatchRule()):
        assert_allclose(found.estimate, expected[found.statistic.name], rtol=0, atol=1e-14)


def test_recall_levels_are_reached_exactly_where_the_reference_reaches_them() -> None:
    # 100 objects and k true positives without false positives: AP is the number of reached levels / 101.
    catalog = Catalog.of([1], ["thing"])
    boxes = np.array([[20.0 * k, 0, 10, 10] for k in range(100)])
    truth = AnnotationTable.of(catalog, np.zeros(100, int), np.zeros(100, int), boxes)
    rule = MatchRule(iou_thresholds=(0.5,))
    for count in range(101):
        table = DetectionTable(
            catalog, np.zeros(count, int), np.zeros(count, int), boxes[:count], np.linspace(0.9, 0.1, count)
        )
        matches = match(truth, table, rule)
        [found] = replicate(RunRankings(matches), np.full((1, 1), 3, np.uint8), [named_statistic("ap", rule)])
        expected = np.mean(matches.curves().precision[..., 0])
        assert found.estimate == pytest.approx(expected, abs=1e-14)
        assert found.values[0] == pytest.approx(expected, abs=1e-14)  # 3 k of 300 is the same recall


def physically_swapped(one: Scene, other: Scene, stays: NDArray[np.bool_]) -> Scene:
    """The detections of `one` in the images that stay, those of `other` in the rest."""
    parts = [
        (one.detections, stays[one.detections.image]),
        (other.detections, ~stays[other.detections.image]),
    ]
    columns = (
        np.concatenate([getattr(table, name)[rows] for table, rows in parts])
        for name in ("image", "label", "xywh", "score")
    )
    return Scene(one.truth, DetectionTable(one.truth.catalog, *columns))


@given(scenes(), st.data())
def test_swap_weights_take_detections_from_the_other_run(scene: Scene, data: st.DataObject) -> None:
    rows = np.arange(len(scene.detections))
    found, images = scene.detections, len(scene.truth.catalog.image_ids)
    other = Scene(
        scene.truth,
        DetectionTable(
            found.catalog, found.image[rows], found.label[rows], found.xywh[rows], found.score[::-1].copy()
        ),
    )
    stays = np.array(data.draw(st.lists(st.booleans(), min_size=images, max_size=images)), bool)
    rule = MatchRule()
    both = SwappedRankings(
        *(RunRankings(match(each.truth, each.detections, rule)) for each in (scene, other))
    )
    weights = np.concatenate([stays, ~stays])[None].astype(np.uint8)
    names = names_of(rule)
    expected, _ = evaluated(physically_swapped(scene, other, stays), rule)
    for name, (values, _) in zip(
        names, weigh(both, weights, [named_statistic(name, rule) for name in names]), strict=True
    ):
        assert_allclose(values, expected[name], rtol=0, atol=1e-12, err_msg=name)


def test_equal_scores_of_two_runs_are_ordered_by_image() -> None:
    catalog = Catalog.of([1, 2], ["thing"])
    truth = AnnotationTable.of(catalog, [1], [0], [[0, 0, 10, 10]])
    hit = DetectionTable(catalog, np.array([1]), np.array([0]), np.array([[0.0, 0, 10, 10]]), np.array([0.5]))
    miss = DetectionTable(
        catalog, np.array([0]), np.array([0]), np.array([[50.0, 50, 10, 10]]), np.array([0.5])
    )
    rankings = SwappedRankings(RunRankings(match(truth, hit)), RunRankings(match(truth, miss)))
    weights = np.array([[0, 1, 1, 0]], np.uint8)  # image 1 of the second run, image 2 of the first
    [(values, _)] = weigh(rankings, weights, [named_statistic("ap50", rankings.rule)])
    assert values[0] == pytest.approx(1 / 2)


def test_leaving_out_an_image_equals_evaluating_without_it() -> None:
    scene = random_scene(5, images=9, objects=50, detections=200)
    matches = match(scene.truth, scene.detections)
    statistics = [named_statistic(name, matches.rule) for name in ("ap", "f1", "olrp")]
    found = leave_out(RunRankings(matches), np.arange(9), statistics)
    for image in range(9):
        rest = np.delete(np.arange(9), image)
        expected, _ = evaluated(Scene(scene.truth.select(rest), scene.detections.select(rest)), matches.rule)
        for statistic, (values, _) in zip(statistics, found, strict=True):
            assert values[image] == pytest.approx(expected[statistic.name], abs=1e-12)


def test_rows_are_drawn_with_replacement() -> None:
    weights = image_weights(50, 4000, seed=3)
    assert weights.dtype == np.uint8
    assert (weights.sum(axis=1) == 50).all()
    # Each count is binomial(50, 1/50): mean 1, variance 0.98. Their means over 4,000 rows have a sd of 0.016.
    assert_allclose(weights.mean(axis=0), 1.0, atol=0.08)
    assert weights.var() == pytest.approx(0.98, abs=0.02)
    assert np.mean(weights == 0) == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


def test_the_same_seed_gives_the_same_rows_and_fewer_resamples_the_first_of_them() -> None:
    weights = image_weights(30, 100, seed=7)
    assert_array_equal(weights, image_weights(30, 100, seed=7))
    assert_array_equal(weights[:10], image_weights(30, 10, seed=7))
    assert (weights != image_weights(30, 100, seed=8)).any()
    assert weights[0, :8].tolist() == [1, 1, 0, 2, 0, 0, 1, 1]  # on every machine


def test_images_of_a_unit_count_equally_often() -> None:
    groups = ["a", "b", "a", "c", "c", "c"]
    unit, units = unit_index(groups, 6)
    assert (unit.tolist(), units) == ([0, 1, 0, 2, 2, 2], 3)
    weights = unit_weights(unit, 200)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert leave_one_out_weights(unit, 1, 3).tolist() == [[1, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]


def test_a_swap_takes_each_image_from_one_run() -> None:
    weights = swap_weights(np.array([0, 0, 1, 2]), 1000, seed=1)
    assert (weights[:, :4] + weights[:, 4:] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert weights[:, :4].mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image_weights(0, 10), "images: expected at least 1, got 0"),
        (lambda: image_weights(10, 0), "resamples: expected at least 1, got 0"),
        (lambda: image_weights(10, 10, -1), "seed: expected an integer of at least 0, got -1"),
        (lambda: unit_index(["a"], 2), "groups: expected one for each of 2 images, got 1"),
        (lambda: unit_index(["a", None], 2), "groups: image 1 has none"),
        (lambda: named_statistic("ap5", MatchRule()), "'ap5' can be resampled; did you mean 'ap[59]"),
        (lambda: average_precision(MatchRule(), levels=12), "101, 11 or 0"),
        (lambda: average_recall(MatchRule(), iou=0.51), "not among the rule's thresholds"),
        (lambda: operating_point(MatchRule(), "f2"), "no value 'f2'"),
        (lambda: named_statistic("olrp", MatchRule(iou_thresholds=(1.0,))), "below 1"),
    ],
)
def test_invalid_weights_and_unknown_statistics_are_rejected(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_weights_of_another_data_set_are_rejected() -> None:
    scene = random_scene(1)
    rankings = RunRankings(match(scene.truth, scene.detections))
    with pytest.raises(InputError, match=r"expected shape \(B, 20\), one column per image, got \(10, 7\)"):
        replicate(rankings, image_weights(7, 10), [named_statistic("ap", rankings.rule)])


def test_a_ranking_needs_no_detector() -> None:
    # True positive, false positive, true positive: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    ranking = Ranking.of(
        2,
        1,
        label=[0, 0, 0],
        image=[0, 1, 1],
        score=[0.9, 0.8, 0.7],
        tp=[True, False, True],
        object_label=[0, 0],
        object_image=[0, 1],
    )
    table = np.zeros((2, 64), np.uint8)
    table[:, 0], table[:, 1], table[:, 2] = (1, 1), (1, 0), (0, 2)
    precision, recall = Block(RunRankings.__new__(RunRankings), table).curves(ranking, 0)
    assert_allclose(precision[0, 0, :3], [0.5 + 0.5 * 2 / 3, 1.0, 0.5])
    assert_array_equal(recall[0, 0, :3], 1.0)
    assert np.isnan(precision[0, 0, 3])  # no image, no object


def test_a_ranking_of_a_run_equals_its_outcomes() -> None:
    scene = random_scene(2)
    matches = match(scene.truth, scene.detections)
    ranking = rank_detections(matches, "small", 10)
    for bit, iou in enumerate(matches.rule.iou_thresholds):
        outcome = matches.at(iou, "small", 10)
        assert_array_equal(ranking.start, outcome.start)
        assert_array_equal(ranking.image, outcome.image)
        assert_array_equal((ranking.tp >> np.uint64(bit)) & np.uint64(1) == 1, outcome.tp)
        assert_array_equal((ranking.ignored >> np.uint64(bit)) & np.uint64(1) == 1, outcome.ignored)
