"""Confidence bands: curves on resamples equal those of physical copies, and each point has the interval of its value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from resampled_scenes import drawn_counts, physically_resampled
from scene_runs import run, scene_of
from strategies import Scene, random_scene, scenes

from metrics.compare import compare, curve_bands
from metrics.compare.curve_intervals import curve_intervals
from metrics.compare.estimates import estimate_models
from metrics.matching import match
from metrics.resampling import RunRankings, image_weights
from metrics.resampling.curves import counts_over_score, precision_over_recall
from metrics.resampling.scale import UNIT, Scale


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


def mean_over_classes(scene: Scene, iou: float) -> np.ndarray:
    matches = match(scene.truth, scene.detections)
    precision = matches.curves().precision[matches.rule.threshold_index(iou), :, :, 0]
    defined = ~np.isnan(precision[0])
    return precision[:, defined].mean(axis=1) if defined.any() else np.full(101, np.nan)


@given(scenes(ignored=True), st.sampled_from([0.5, 0.75]), st.data())
def test_precision_over_recall_equals_that_of_physical_copies(
    scene: Scene, iou: float, data: st.DataObject
) -> None:
    counts = drawn_counts(scene, data)
    found = precision_over_recall(
        RunRankings(match(scene.truth, scene.detections)), counts[None], iou, "all", 100
    )
    assert_allclose(found[0], mean_over_classes(physically_resampled(scene, counts), iou), rtol=0, atol=1e-12)


def test_precision_over_recall_equals_that_of_physical_copies_in_every_lane() -> None:
    scene = random_scene(3, images=20, classes=3, objects=80, detections=300, crowds=0.05)
    weights = image_weights(20, 70, seed=1)  # more than one block
    found = precision_over_recall(RunRankings(match(scene.truth, scene.detections)), weights, 0.5, "all", 100)
    assert found.shape == (70, 101)
    for row in (0, 1, 63, 64, 69):
        expected = mean_over_classes(physically_resampled(scene, weights[row]), 0.5)
        assert_allclose(found[row], expected, rtol=0, atol=1e-12)


@given(scenes(ignored=True), st.data())
def test_counts_over_score_equal_those_of_physical_copies(scene: Scene, data: st.DataObject) -> None:
    counts = drawn_counts(scene, data)
    scores = np.array([0.0, 0.25, 0.5, 0.500001, 1.0])
    found = counts_over_score(match(scene.truth, scene.detections), counts[None], scores, 0.5)
    outcome = match(*(lambda s: (s.truth, s.detections))(physically_resampled(scene, counts))).at(0.5)
    for at, score in enumerate(scores):
        kept = outcome.score >= score
        true = np.count_nonzero(kept & outcome.tp)
        false = np.count_nonzero(kept & ~outcome.tp & ~outcome.ignored)
        valid = np.count_nonzero(outcome.valid)
        assert (found.tp[0, at], found.fp[0, at], found.positives[0, 0]) == (true, false, valid)
        assert_array_equal(found.precision[0, at], true / (true + false) if true + false else np.nan)
        assert_array_equal(found.recall[0, at], true / valid if valid else np.nan)
        assert_array_equal(found.f1[0, at], 2 * true / (true + false + valid) if valid else np.nan)


def test_a_point_of_a_band_has_the_interval_of_a_comparison(scene: Scene) -> None:
    runs = {"a": [run(scene), run(scene, 0.9)], "b": run(scene, 0.7)}
    bands = curve_bands(runs, resamples=300, seed=4).over_score(np.array([0.2, 0.5]))
    compared = compare(runs, "f1", also=["precision", "recall"], resamples=300, seed=4, permutations=0)
    for model in runs:
        for name in ("precision", "recall", "f1"):
            band, row = bands[model][name], compared.standing(model, name)
            assert band.value[1] == pytest.approx(row.value, abs=1e-12)
            assert_allclose((band.low[1], band.high[1]), (row.ci_low, row.ci_high), rtol=1e-10)
            assert (band.low < band.value).all()
            assert (band.value < band.high).all()


@pytest.mark.parametrize("units", [1, 2, 30])
@pytest.mark.parametrize("seeds", [(1, 1), (3,), (2, 1, 3), (1, 2)])
def test_all_points_of_curves_have_the_intervals_of_each_point(seeds: tuple[int, ...], units: int) -> None:
    rng = np.random.default_rng(11)
    tables = {}
    for model, count in enumerate(seeds):
        learned = rng.normal(0, 0.04, (30, count)) * (np.arange(30) % 3 > 0)[:, None]
        tables[str(model)] = (
            rng.beta(4, 5, (81, 30, 1)) + learned + rng.normal(0, 0.02, (81, 30, count))
        ).clip(0, 1)
    first = tables["0"]
    first[:, 0] = np.nan  # a point that is undefined everywhere
    first[1:, 1] = np.nan  # in all resamples
    first[2:, 2] = np.nan  # in all resamples but one
    first[:, 3] = 0.25  # the same everywhere
    first[rng.random(81) < 0.3, 4, 0] = np.nan  # of one seed in some resamples
    first[0, 5, -1] = np.nan  # of one seed, on the images themselves
    shifts = {model: rng.standard_normal(80) for model in tables}
    found = curve_intervals(tables, shifts, units, 0.9, Scale(UNIT))
    for at in range(30):
        values = {model: table[:, at] for model, table in tables.items()}
        for model, estimate in estimate_models(values, shifts, units, Scale(UNIT)).items():
            one = estimate.interval(0.9)
            expected = (one.estimate, one.low, one.high)
            assert_allclose([each[at] for each in found[model]], expected, rtol=0, atol=1e-10)


def test_the_mean_of_a_precision_curve_is_average_precision_and_seeds_have_separate_scores(
    scene: Scene,
) -> None:
    runs = {"a": [run(scene), run(scene, 0.9)]}
    bands = curve_bands(runs, resamples=50)
    value = compare(runs, "ap50", resamples=50, permutations=0).standing("a").value
    assert bands.precision(0.5)["a"].value.mean() == pytest.approx(value, abs=1e-12)
    own = bands.at_own_scores({"a": [np.array([0.3]), np.array([0.6])]})["a"]["recall"]
    each = [bands.over_score(np.array([0.3, 0.6]))["a"]]
    alone = [
        curve_bands({"a": of}, resamples=50).over_score(np.array([score]))["a"]["recall"].value[0]
        for of, score in zip(runs["a"], (0.3, 0.6), strict=True)
    ]
    assert own.value[0] == pytest.approx(np.mean(alone), abs=1e-12)
    assert each[0]["recall"].value[0] > each[0]["recall"].value[1]


def test_groups_widen_a_band_and_one_image_has_no_interval(scene: Scene) -> None:
    videos = {"video": [at // 6 for at in range(60)]}
    alone = curve_bands({"a": run(scene)}, resamples=300).over_score(np.array([0.5]))["a"]["recall"]
    grouped = curve_bands({"a": run(scene)}, resamples=300, groups="video", image_columns=videos)
    band = grouped.over_score(np.array([0.5]))["a"]["recall"]
    assert grouped.replicates.units == 10
    assert band.value == alone.value
    assert band.low != alone.low
    one = scene.truth.select([0]), scene.detections.select([0])
    single = curve_bands({"a": one}, resamples=20).precision(0.5)["a"]
    assert np.isnan(single.low).all()
