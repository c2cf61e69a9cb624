"""What a comparison says, against direct computation, physical removal, and arithmetic; and when it says nothing."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from strategies import Scene, random_scene, with_found

from metrics.compare import Comparison, compare, groups_by_folder, influence
from metrics.compare.seeds import Level, seed_draws, two_levels
from metrics.errors import InputError, InputWarning
from metrics.evaluate import evaluate
from metrics.matching import MatchRule, match
from metrics.registry import UnknownName
from metrics.resampling import Tracks, image_weights, named, replicate
from metrics.resampling.intervals import bca_tails
from metrics.resampling.statistics import average_precision
from metrics.tables import AnnotationTable, Catalog, DetectionTable

PAIRWISE_COLUMNS = [
    "model_a",
    "model_b",
    "metric",
    "scope",
    "delta",
    "ci_low",
    "ci_high",
    "sim_low",
    "sim_high",
    "p_raw",
    "p_adj",
    "adjust",
    "p_a_gt_b",
    "mdd",
    "test",
    "B",
]

Tables = tuple[AnnotationTable, DetectionTable]


def scene_of(images: int = 60) -> Scene:
    return random_scene(11, images=images, classes=3, objects=5 * images, detections=12 * images, crowds=0.02)


def run(scene: Scene, kept: float = 1.0, seed: int = 0) -> Tables:
    """The scene with a part of its detections."""
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(scene.found)) < kept)
    return scene.truth, with_found(scene, rows).found


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


@pytest.fixture(scope="module")
def three(scene: Scene) -> Comparison:
    """One that is much worse than two that are nearly the same."""
    runs = {"low": run(scene, 0.3), "high": run(scene), "near": run(scene, 0.97)}
    return compare(runs, also=["ap50", "olrp", "ap"], resamples=400, permutations=200)


def test_values_and_differences_are_the_evaluators(scene: Scene, three: Comparison) -> None:
    values = {
        model: evaluate(*run(scene, kept)).headline
        for model, kept in (("low", 0.3), ("high", 1.0), ("near", 0.97))
    }
    for row in three.leaderboard:
        if row.measure != "olrp":
            assert row.value == pytest.approx(values[row.model][row.measure], abs=1e-14)
    row = three.difference("low", "high")
    assert (row.model_a, row.model_b) == ("high", "low")
    assert row.delta == pytest.approx(values["high"]["ap"] - values["low"]["ap"], abs=1e-14)


def test_intervals_of_differences_are_quantiles_of_paired_resamples(scene: Scene) -> None:
    found = compare({"a": run(scene), "b": run(scene, 0.8)}, resamples=300, seed=5, permutations=0)
    weights = image_weights(60, 300, seed=5)
    values = [
        replicate(Tracks(match(*run(scene, kept))), weights, [named("ap", MatchRule())])[0].values
        for kept in (1.0, 0.8)
    ]
    row = found.difference("a", "b")
    expected = values[0] - values[1]
    if row.ci_method == "percentile":
        tail = stats.norm.cdf(np.sqrt(60 / 59) * stats.t.ppf(0.975, 59))  # 60 images are not many
        assert_allclose((row.ci_low, row.ci_high), np.quantile(expected, [1 - tail, tail]), rtol=1e-12)
    assert row.se == pytest.approx(expected.std(ddof=1), rel=1e-12)
    assert row.mdd == pytest.approx(2.8 * row.se)
    assert row.p_a_gt_b == np.mean(expected > 0)
    assert row.B == 300
    assert_allclose(found.replicates["ap"]["a"] - found.replicates["ap"]["b"], expected, atol=1e-15)


def test_one_pair_needs_no_correction(scene: Scene) -> None:
    row = compare({"a": run(scene), "b": run(scene, 0.8)}, resamples=200, permutations=0).difference("a", "b")
    assert (row.p_adj, row.adjust) == (row.p_raw, "holm")


def test_the_leader_beats_the_worse_and_is_tied_with_its_like(three: Comparison) -> None:
    assert three.models[-1] == "low"
    assert three.difference("high", "low").decisive
    assert not three.difference("high", "near").decisive
    low, high, near = (three.standing(model) for model in ("low", "high", "near"))
    assert (low.letters, high.letters, near.letters) == ("b", "a", "a")
    assert (low.tied_with_best, high.tied_with_best, near.tied_with_best) == (False, True, True)
    assert (low.rank, low.rank_low, low.rank_high) == (3, 3, 3)
    assert {high.rank, near.rank} == {1, 2}
    assert (high.rank_low, near.rank_high) == (1, 2)
    row = three.difference("high", "low")
    assert row.p_raw == 1 / 401
    assert row.p_a_gt_b == 1.0
    assert row.sim_low <= row.ci_low < row.delta < row.ci_high <= row.sim_high


def test_verdict_says_what_the_rows_say(three: Comparison) -> None:
    best, row = three.standing(three.models[0]), three.difference(three.models[0], "low")
    assert three.verdict.startswith(f"{best.model} has the highest ap, {100 * best.value:.1f} [")
    assert (
        f"It beats low by {100 * row.delta:.1f} [{100 * row.sim_low:.1f}, {100 * row.sim_high:.1f}]"
        in three.verdict
    )
    assert f"{three.models[1]} (" in three.verdict
    assert "is tied with it. This test set (60 images) can resolve differences of" in three.verdict
    assert three.verdict.endswith("Compared were checkpoints (1 seed each); seed variance was not measured.")
    assert str(three).splitlines()[0] == three.verdict


def test_where_less_is_better_the_least_leads(scene: Scene) -> None:
    found = compare({"low": run(scene, 0.3), "high": run(scene)}, "olrp", resamples=200)
    values = {model: found.standing(model).value for model in found.models}
    assert values[found.models[0]] == min(values.values())
    row = found.pairwise[0]
    assert row.delta <= 0
    assert row.p_a_gt_b > 0.5
    assert "has the lowest olrp" in found.verdict


def test_the_label_swap_agrees_and_decides_nothing(three: Comparison) -> None:
    rows = {row.model_b: row for row in three.pairwise if row.test == "label swap"}
    assert set(rows) == set(three.models[1:])
    assert rows["low"].p_raw == 1 / 201
    assert rows["low"].delta == pytest.approx(three.difference("high", "low").delta, abs=0.05)
    assert not any(row.decisive for row in rows.values())
    assert all(np.isnan(row.ci_low) and row.B == 200 for row in rows.values())


def test_row_36_identical_runs_are_tied_without_a_star(scene: Scene) -> None:
    found = compare({"b": run(scene), "a": run(scene)}, resamples=100, permutations=50)
    row = found.difference("a", "b")
    assert (row.delta, row.ci_low, row.ci_high, row.sim_low, row.sim_high) == (0, 0, 0, 0, 0)
    assert (row.p_raw, row.p_adj, row.p_a_gt_b, row.decisive) == (1, 1, 0.5, False)
    for place in found.leaderboard:
        assert (place.rank, place.rank_low, place.rank_high) == (1, 1, 2)
        assert (place.letters, place.tied_with_best) == ("a", True)
    assert next(row for row in found.pairwise if row.test == "label swap").p_raw == 1
    assert found.verdict.startswith("a and b have the highest ap")
    assert "No difference is decisive." in found.verdict


def test_row_34_one_image_one_class_one_object() -> None:
    catalog = Catalog.of([7], ["thing"])
    truth = AnnotationTable.of(catalog, [0], [0], [[0, 0, 10, 10]])
    hit = DetectionTable(catalog, np.array([0]), np.array([0]), np.array([[0.0, 0, 10, 10]]), np.array([0.9]))
    none = DetectionTable(catalog, *(np.zeros(0, int),) * 2, np.zeros((0, 4)), np.zeros(0))
    found = compare({"finds": (truth, hit), "blind": (truth, none)}, also=["f1", "precision", "olrp"])
    row = found.difference("finds", "blind")
    assert row.delta == pytest.approx(1.0)
    assert (row.decisive, row.too_few) == (False, True)  # however small the p-value of one image is
    assert np.isnan([row.ci_low, row.ci_high, row.se, row.sim_low]).all()
    assert found.verdict.startswith("finds has the highest ap, 100.0")
    assert "With 1 image nothing can be decided." in found.verdict
    assert any("1 image with 1 object are too few" in note for note in found.notes)
    assert np.isnan(found.standing("blind", "precision").value)
    assert found.class_values[0].too_few
    assert influence({"finds": (truth, hit), "blind": (truth, none)}, "finds", "blind").undone_by is None


def test_nothing_asked_for_is_not_defined() -> None:
    scene = scene_of(4)
    empty = AnnotationTable.of(scene.truth.catalog, [], [], [])
    found = compare({"a": (empty, scene.found), "b": (empty, scene.found)}, resamples=20)
    assert found.verdict == "ap is not defined on these images: nothing is asked for."
    assert np.isnan([row.value for row in found.leaderboard]).all()
    assert not any(row.decisive for row in found.pairwise)
    assert not found.class_pairs


def test_a_model_alone_has_an_interval_and_no_pairs(scene: Scene) -> None:
    found = compare({"alone": run(scene)}, resamples=200)
    assert found.pairwise == ()
    row = found.standing("alone")
    assert row.ci_low < row.value < row.ci_high
    assert found.verdict.startswith(f"alone has ap {100 * row.value:.1f} [")


def test_bias_of_average_precision_asks_for_bca(scene: Scene) -> None:
    row = compare({"alone": run(scene)}, resamples=1000).standing("alone")
    assert abs(row.bias) > 0.1 * row.se
    assert row.ci_method == "bca"


def test_bca_of_a_difference_leaves_images_out_of_both(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.resampling.intervals.BIAS_ASKS", -1.0)  # BCa whatever the bias
    found = compare({"a": run(scene), "b": run(scene, 0.8)}, resamples=300, permutations=0)
    row = found.difference("a", "b")
    values = found.replicates["ap"]["a"] - found.replicates["ap"]["b"]
    without = influence({"a": run(scene), "b": run(scene, 0.8)}, "a", "b").without
    tail = stats.norm.cdf(np.sqrt(60 / 59) * stats.t.ppf(0.975, 59))
    tails = bca_tails(row.delta, values, without, np.array([1 - tail, tail]))
    assert row.ci_method == "bca"
    assert_allclose((row.ci_low, row.ci_high), np.quantile(values, tails), rtol=1e-9)


def test_classes_with_few_objects_are_greyed_and_do_not_cost_the_others(scene: Scene) -> None:
    truth = scene.truth
    few = np.flatnonzero(truth.label == 2)[5:]
    rows = np.setdiff1d(np.arange(len(truth)), few)
    thin = AnnotationTable(
        truth.catalog,
        *(
            getattr(truth, name)[rows]
            for name in ["image", "label", "xywh", "area", "crowd", "ignored", "object_id"]
        ),
    )
    runs = {"a": (thin, run(scene)[1]), "b": (thin, run(scene, 0.4)[1])}
    found = compare(runs, resamples=200, permutations=0)
    by_class = {row.scope: row for row in found.class_pairs}
    assert by_class["class 2"].too_few
    assert (by_class["class 2"].adjust, by_class["class 0"].adjust) == ("none", "bh")
    assert np.isnan(by_class["class 2"].p_adj)
    raw = sorted(by_class[name].p_raw for name in ("class 0", "class 1"))
    expected = sorted([min(2 * raw[0], raw[1]), raw[1]])  # Benjamini and Hochberg over the two that count
    assert_allclose(sorted(by_class[name].p_adj for name in ("class 0", "class 1")), expected)
    assert any("too few objects (under 20)" in note and "class 2 (" in note for note in found.notes)


def test_each_class_is_measured_as_if_alone(scene: Scene, three: Comparison) -> None:
    evaluation = evaluate(*run(scene))
    for row in three.class_values:
        if row.model == "high":
            assert row.value == pytest.approx(evaluation.value("ap", row.class_name), abs=1e-14)
            assert row.ci_low < row.value < row.ci_high
            asked = (scene.truth.label == int(row.class_name[-1])) & ~scene.truth.crowd
            assert row.objects == asked.sum()


def test_the_same_seed_says_the_same_and_another_run_changes_no_pair(scene: Scene) -> None:
    runs = {"a": [run(scene, 0.9, k) for k in range(2)], "b": [run(scene, 0.8, k) for k in range(2)]}
    one, other = (compare(runs, resamples=100, permutations=50, seed=3) for _ in range(2))
    assert one.pairwise_to_frame().equals(other.pairwise_to_frame())
    assert one.to_frame().equals(other.to_frame())
    more = compare({"c": run(scene), **runs}, resamples=100, permutations=0, seed=3).difference("a", "b")
    alone = one.difference("a", "b")
    assert (more.delta, more.se, more.p_raw, more.ci_low) == (
        alone.delta,
        alone.se,
        alone.p_raw,
        alone.ci_low,
    )


def test_frames_have_the_columns_of_the_files(three: Comparison) -> None:
    frame = three.pairwise_to_frame()
    assert list(frame.columns[:16]) == PAIRWISE_COLUMNS
    assert len(frame) == len(three.pairwise) + len(three.class_pairs)
    assert list(three.to_frame().columns[:3]) == ["model", "measure", "value"]
    assert three.to_frame()["measure"].unique().tolist() == [
        "ap",
        "ap50",
        "olrp",
    ]  # asked for twice, there once
    assert len(three.classes_to_frame()) == 9


def test_matches_and_tables_say_the_same(scene: Scene) -> None:
    tables = {"a": run(scene), "b": run(scene, 0.7)}
    matches = {model: match(*given) for model, given in tables.items()}
    one, other = compare(tables, resamples=50), compare(matches, resamples=50)
    assert one.pairwise_to_frame().equals(other.pairwise_to_frame())


def test_a_measure_of_ones_own(scene: Scene) -> None:
    strict = average_precision(MatchRule(), iou=(0.5, 0.75), area="medium", max_dets=10, name="strict")
    found = compare({"a": run(scene), "b": run(scene, 0.7)}, strict, resamples=50)
    expected = match(*run(scene)).curves(10).precision[[0, 5], :, :, 2]
    assert found.standing("a").value == pytest.approx(np.nanmean(expected), abs=1e-14)
    asked = match(*run(scene)).positives[2]
    assert [row.objects for row in found.class_values if row.model == "a"] == asked.tolist()


# Seeds


def test_seeds_widen_the_interval_and_make_it_a_recipes(scene: Scene) -> None:
    runs = {"a": [run(scene, 0.8, k) for k in range(4)], "b": [run(scene, 0.5, k) for k in range(4)]}
    found = compare(runs, resamples=500)
    assert found.compared == "training recipes"
    assert found.badges == ()
    assert "Compared were training recipes (4 seeds each)." in found.verdict
    row = found.standing("a")
    assert row.value == pytest.approx(np.mean(row.seeds))
    assert row.seed_low < row.value < row.seed_high
    single = compare({model: of[:1] for model, of in runs.items()}, resamples=500)
    assert single.compared == "checkpoints"
    assert sorted(single.badges) == ["seed variance not measured: a", "seed variance not measured: b"]
    assert np.isnan(single.standing("a").seed_low)
    images_only = np.mean([replicate(Tracks(match(*of)), image_weights(60, 500), [named("ap", MatchRule())])[0].values
                           for of in runs["a"]], axis=0)  # fmt: skip
    assert row.se > images_only.std(ddof=1)


def test_different_numbers_of_seeds_are_checkpoints(scene: Scene) -> None:
    found = compare({"a": [run(scene, 0.8, k) for k in range(3)], "b": run(scene, 0.5)}, resamples=100)
    assert found.compared == "checkpoints"
    assert found.badges == ("seed variance not measured: b",)
    assert "(1 and 3 seeds each); seed variance was not measured." in found.verdict
    assert any("no label swap of a and b" in note for note in found.notes)


def test_two_levels_of_variance_add_up() -> None:
    rng = np.random.default_rng(0)
    draws = seed_draws("model", 5, 200_000, 0)
    assert_allclose(draws.sum(axis=1), 1.0)
    estimates = rng.normal(0, 2, 5)
    shared = rng.normal(0, 0.5, (200_000, 1))  # the same images for all seeds
    level = two_levels(estimates, estimates + shared, draws)
    expected = 0.5**2 + estimates.var(ddof=1) / 5
    assert level.replicates.var() == pytest.approx(expected, rel=0.02)
    assert level.seed_variance == pytest.approx((estimates.var(ddof=1) / 5,))


def test_few_seeds_stretch_as_students_t_does() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.normal(0, 1, 100_000)
    seeds_alone = Level(0.0, replicates, (1.0,), (2,))  # all spread is that of three seeds
    assert np.quantile(seeds_alone.stretched(0.95), 0.975) == pytest.approx(stats.t.ppf(0.975, 2), rel=0.02)
    images_alone = Level(0.0, replicates, (0.0,), (0,))
    assert_array_equal(images_alone.stretched(0.95), replicates)
    # Welch: (1 + 1)^2 / (1 / 2 + 1 / 4) degrees of freedom for two models of three and five seeds.
    both = Level(0.0, np.sqrt(2) * replicates, (1.0, 1.0), (2, 4))
    freedom = 4 / (1 / 2 + 1 / 4)
    expected = np.sqrt(2) * stats.t.ppf(0.975, freedom)
    assert np.quantile(both.stretched(0.95), 0.975) == pytest.approx(expected, rel=0.02)


def test_what_suits_a_seed_in_these_images_is_not_counted_twice() -> None:
    rng = np.random.default_rng(0)
    images = rng.multinomial(100, np.full(100, 0.01), 4000) / 100
    of_image = rng.normal(0, 1, 100) + rng.normal(0, 2, (4, 100))  # four seeds that learned equally well
    estimates, values = of_image.mean(axis=1), images @ of_image.T
    level = two_levels(estimates, values, seed_draws("m", 4, 4000, 0))
    assert level.replicates.var() == pytest.approx(values.mean(axis=1).var(), rel=0.25)
    assert (values * seed_draws("m", 4, 4000, 0)).sum(axis=1).var() > 1.5 * level.replicates.var()


@pytest.mark.parametrize("own", [0.1, 0.5], ids=["alike", "of their own"])
def test_intervals_of_three_seeds_hold_where_those_of_images_do_not(own: float) -> None:
    rng = np.random.default_rng(0)
    held, plain = [], []
    for number in range(400):
        shown = rng.multinomial(50, np.full(50, 0.02), 300) / 50
        of_image = rng.normal(0, 0.1, (3, 1)) + rng.normal(0, 1, 50) + rng.normal(0, own, (3, 50))
        estimates, values = of_image.mean(axis=1), shown @ of_image.T
        level = two_levels(estimates, values, seed_draws("m", 3, 300, number))
        for of, replicates in ((held, level.stretched(0.95)), (plain, values[:, 0])):
            low, high = np.quantile(replicates, [0.025, 0.975])
            of.append(low <= 0 <= high)
    assert 0.92 <= np.mean(held) <= 0.97
    assert np.mean(plain) < 0.91


# Which images


def test_row_37_other_images_are_refused_and_the_intersection_is_offered(scene: Scene) -> None:
    fewer = (scene.truth.select(np.arange(10, 60)), scene.found.select(np.arange(10, 60)))
    runs = {"ssd": run(scene), "fcos": fewer}
    with pytest.raises(
        InputError, match=r"ssd and fcos were evaluated on different images \(60 and 50, 50 in both\)"
    ) as e:
        compare(runs)
    assert "images='intersection' to compare on the 50 images" in str(e.value)
    found = compare(runs, images="intersection", resamples=20)
    assert found.method.images == 50
    assert found.notes[0] == "compared on the 50 images whose truth all runs share (they have 50 and 60)"
    expected = evaluate(*fewer).headline["ap"]
    assert found.standing("ssd").value == pytest.approx(expected, abs=1e-14)
    assert found.standing("fcos").value == pytest.approx(expected, abs=1e-14)


def test_row_37_other_objects_in_an_image_are_refused(scene: Scene) -> None:
    moved = scene.truth.xywh.copy()
    moved[3, 0] += 1
    other = replace(scene.truth, xywh=moved)
    image = scene.truth.catalog.image_ids[scene.truth.image[3]]
    with pytest.raises(
        InputError, match=rf"different objects in 1 of 60 images, first in image {image}; evaluate both"
    ):
        compare({"a": run(scene), "b": (other, scene.found)})
    found = compare({"a": run(scene), "b": (other, scene.found)}, images="intersection", resamples=20)
    assert found.method.images == 59


def test_the_order_of_objects_and_names_of_files_do_not_make_another_truth(scene: Scene) -> None:
    truth = scene.truth
    rows = np.random.default_rng(0).permutation(len(truth))
    named_files = replace(truth.catalog, file_names=[f"{k}.jpg" for k in truth.catalog.image_ids])
    columns = (getattr(truth, name)[rows] for name in ["image", "label", "xywh", "area", "crowd", "ignored"])
    other = AnnotationTable(named_files, *columns, np.arange(len(truth)))
    found = scene.found
    table = DetectionTable(named_files, found.image, found.label, found.xywh, found.score)
    result = compare({"a": run(scene), "b": (other, table)}, resamples=20)
    assert result.difference("a", "b").delta == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {}, "no runs were given"),
        (lambda s: {"a": []}, "a has no run; leave it out"),
        (
            lambda s: {"a": [s.truth, s.found, s.found]},
            r"a: expected Matches or \(truth, found\) for each seed",
        ),
        (lambda s: {"a": (s.truth.select([]), s.found.select([]))}, "a was evaluated on no images"),
        (
            lambda s: {"a": match(*run(s)), "b": match(*run(s), MatchRule(max_dets=(1, 5)))},
            "b was matched under another rule than a; match both under the same MatchRule",
        ),
        (
            lambda s: {"a": run(s), "b": _renamed(s)},
            r"a and b were evaluated on different classes \('class 0', 'other'\)",
        ),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    scene: Scene, change: Callable[[Scene], dict[str, object]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compare(change(scene))  # type: ignore[arg-type]


def _renamed(scene: Scene) -> Tables:
    catalog = replace(scene.truth.catalog, classes=("other", "class 1", "class 2"))
    return replace(scene.truth, catalog=catalog), replace(scene.found, catalog=catalog)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measure": "app"}, "no number 'app' can be resampled; did you mean 'ap'"),
        ({"images": "union"}, "images: expected 'same' or 'intersection'"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1"),
        ({"resamples": 0}, "resamples: expected at least 1"),
        ({"groups": [1, 2]}, "groups: expected one for each of 60 images, got 2"),
        ({"groups": "video"}, "groups: no column 'video' of images"),
        ({"groups": {10: "a"}}, "groups: 59 images have none, first 13"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    scene: Scene, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compare({"a": run(scene)}, **settings)  # type: ignore[arg-type]


def test_what_is_not_in_a_comparison_is_named(three: Comparison) -> None:
    with pytest.raises(InputError, match="no model 'lo'; did you mean 'low'"):
        three.standing("lo")
    with pytest.raises(InputError, match="no measure 'ap5'; did you mean 'ap50'"):
        three.standing("low", "ap5")
    with pytest.raises(InputError, match="no row of 'low' and 'high' in scope 'class 9'"):
        three.difference("low", "high", scope="class 9")


# Groups


def copied(scene: Scene, times: int) -> Scene:
    """Each image several times, as frames of a still video are."""
    catalog = Catalog.of(range(times * len(scene.truth.catalog.image_ids)), scene.truth.catalog.classes)
    truth, found = scene.truth, scene.found
    rows, places = np.repeat(np.arange(len(truth)), times), np.tile(np.arange(times), len(truth))
    many = AnnotationTable.of(
        catalog,
        truth.image[rows] * times + places,
        truth.label[rows],
        truth.xywh[rows],
        area=truth.area[rows],
    )
    rows, places = np.repeat(np.arange(len(found)), times), np.tile(np.arange(times), len(found))
    return Scene(
        many,
        DetectionTable(
            catalog,
            found.image[rows] * times + places,
            found.label[rows],
            found.xywh[rows],
            found.score[rows],
        ),
    )


def test_copies_in_groups_say_no_more_than_the_images_alone() -> None:
    once = random_scene(11, images=60, classes=2, objects=240, detections=600, crowds=0)
    several = copied(once, 4)
    runs = {"a": run(several), "b": (several.truth, several.found.select(np.arange(0)))}
    runs["b"] = (several.truth, with_found(several, np.arange(0, len(several.found) // 2)).found)
    groups = np.repeat(np.arange(60), 4).tolist()
    grouped = compare(runs, groups=groups, resamples=300, permutations=0)
    alone = compare({"a": (once.truth, once.found), "b": (once.truth, with_found(once, np.arange(300)).found)},
                    resamples=300, permutations=0)  # fmt: skip
    assert grouped.standing("a").se == pytest.approx(
        alone.standing("a").se, rel=0.01
    )  # ties within an image, twice
    assert (grouped.method.unit, grouped.method.units) == ("group", 60)
    as_if_apart = compare(runs, resamples=300, permutations=0)
    assert as_if_apart.standing("a").se < 0.65 * grouped.standing("a").se  # half, for four times the images


def test_a_column_that_groups_images_is_not_passed_over(scene: Scene) -> None:
    videos = [f"video {k // 3}" for k in range(60)]
    with pytest.warns(
        InputWarning,
        match=r"column 'video_id' \(20 values for 60 images\) that is not used.*groups='video_id'",
    ):
        found = compare(
            {"a": run(scene)}, resamples=20, image_columns={"video_id": videos, "weather": ["sun"] * 60}
        )
    assert any("'video_id'" in note for note in found.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        used = compare({"a": run(scene)}, resamples=20, image_columns={"video_id": videos}, groups="video_id")
        compare({"a": run(scene)}, resamples=20, image_columns={"video_id": list(range(60)), "side": videos})
    assert used.method.units == 20
    assert "60 images were drawn in 20 groups by 'video_id'" in used.notes
    by_id = dict(zip(scene.truth.catalog.image_ids, videos, strict=True))
    mapped = compare({"a": run(scene)}, resamples=20, groups=by_id)
    assert mapped.standing("a").se == used.standing("a").se


def test_few_groups_are_too_few_however_many_images(scene: Scene) -> None:
    found = compare({"a": run(scene), "b": run(scene, 0.3)}, groups=[k % 10 for k in range(60)], resamples=50)
    assert not found.difference("a", "b").decisive
    assert "With 10 groups nothing can be decided." in found.verdict


def test_groups_go_with_their_images_into_an_intersection(scene: Scene) -> None:
    fewer = (scene.truth.select(np.arange(10, 60)), scene.found.select(np.arange(10, 60)))
    groups = [min(k // 10, 3) for k in range(60)]  # groups 1, 2 and 3 are left
    found = compare({"a": run(scene), "b": fewer}, groups=groups, images="intersection", resamples=20)
    assert found.method.units == 3


def test_folders_as_groups() -> None:
    catalog = Catalog.of([1, 2, 3], ["thing"], file_names=["a/1.jpg", "b\\2.jpg", "3.jpg"])
    assert groups_by_folder(catalog) == ("a", "b", ".")


# Influence


def test_influence_is_the_difference_that_an_image_makes(scene: Scene) -> None:
    runs = {"a": run(scene), "b": run(scene, 0.8)}
    found = influence(runs, "a", "b")
    for image in (0, 17, 59):
        rest = np.delete(np.arange(60), image)
        truth = scene.truth.select(rest)
        values = [evaluate(truth, of.select(rest)).headline["ap"] for _, of in runs.values()]
        assert found.without[image] == pytest.approx(values[0] - values[1], abs=1e-12)
    assert_allclose(found.influence, found.delta - found.without)
    strongest = int(np.argmax(found.influence))
    assert found.top(1) == (scene.truth.catalog.image_ids[strongest],)
    assert found.to_frame()["image_id"].iloc[0] == scene.truth.catalog.image_ids[strongest]


def test_without_the_images_that_decide_the_difference_is_gone(scene: Scene) -> None:
    runs = {"a": run(scene), "b": run(scene, 0.8)}
    found = influence(runs, "a", "b")
    assert found.delta > 0
    assert found.undone_by is not None
    order = np.argsort(-found.influence, kind="stable")
    left = []
    for count in (found.undone_by - 1, found.undone_by):
        rest = np.sort(order[count:])
        truth = scene.truth.select(rest)
        values = [evaluate(truth, of.select(rest)).headline["ap"] for _, of in runs.values()]
        left.append(values[0] - values[1])
    assert left[0] > 0 >= left[1]
    turned = influence(runs, "b", "a")
    assert turned.undone_by == found.undone_by
    assert turned.top(5) == found.top(5)


def test_what_undoes_a_difference_is_found_in_a_large_set_too() -> None:
    scene = scene_of(400)  # more images than are left out in one grid
    runs = {"a": run(scene), "b": run(scene, 0.85)}
    found = influence(runs, "a", "b")
    assert found.undone_by is not None
    order = np.argsort(-found.influence, kind="stable")
    left = []
    for count in (found.undone_by - 1, found.undone_by):
        rest = np.sort(order[count:])
        truth = scene.truth.select(rest)
        values = [evaluate(truth, of.select(rest)).headline["ap"] for _, of in runs.values()]
        left.append(values[0] - values[1])
    assert left[0] > 0 >= left[1]


def test_influence_of_groups_and_of_seeds(scene: Scene) -> None:
    groups = [k // 6 for k in range(60)]
    runs = {"a": [run(scene), run(scene, 0.95)], "b": run(scene, 0.8)}
    found = influence(runs, "a", "b", "f1", groups=groups)
    assert found.influence.shape == (10,)
    assert found.of_images.shape == (60,)
    assert (found.of_images[:6] == found.influence[0]).all()
    rest = np.arange(6, 60)
    truth = scene.truth.select(rest)
    values = [
        np.mean([evaluate(truth, table.select(rest), ["operating_point"]).value("f1") for _, table in of])
        for of in (runs["a"], [runs["b"]])
    ]
    assert found.without[0] == pytest.approx(values[0] - values[1], abs=1e-12)  # type: ignore[operator]


def test_identical_runs_have_no_image_that_decides(scene: Scene) -> None:
    found = influence({"a": run(scene), "b": run(scene)}, "a", "b")
    assert (found.undone_by, found.top()) == (0, ())
    with pytest.raises(UnknownName, match="unknown model 'c'"):
        influence({"a": run(scene)}, "a", "c")


def test_comparing_loads_nothing_that_it_does_not_need_yet() -> None:
    code = (
        "import sys; import metrics.compare;"
        "print([name for name in ('torch', 'pandas', 'scipy', 'numba', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
