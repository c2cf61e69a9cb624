"""Comparisons against direct computation and arithmetic, and comparisons that are not decisive."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scene_runs import PAIRWISE_COLUMNS, run, scene_of
from scipy import stats
from strategies import Scene

from metrics.compare import Comparison, compare, influence, verdict_text
from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.resampling import RunRankings, image_weights, named_statistic, replicate
from metrics.resampling.statistics import average_precision
from metrics.tables import AnnotationTable, Catalog, DetectionTable


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


@pytest.fixture(scope="module")
def three(scene: Scene) -> Comparison:
    """One model that is much worse than two similar ones."""
    runs = {"low": run(scene, 0.3), "high": run(scene), "near": run(scene, 0.97)}
    return compare(runs, also=["ap50", "olrp", "ap"], resamples=400, permutations=200)


def test_values_and_differences_equal_the_evaluators(scene: Scene, three: Comparison) -> None:
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


def test_intervals_of_differences_are_students_on_paired_resamples(scene: Scene) -> None:
    found = compare({"a": run(scene), "b": run(scene, 0.8)}, "recall", resamples=300, seed=5, permutations=0)
    weights = image_weights(60, 300, seed=5)
    recall = named_statistic("recall", MatchRule())  # of all classes pooled
    values = [
        replicate(RunRankings(match(*run(scene, kept))), weights, [recall])[0].values for kept in (1.0, 0.8)
    ]
    row = found.difference("a", "b")
    expected = values[0] - values[1]
    se = expected.std(ddof=1) * np.sqrt(60 / 59)
    assert row.se == pytest.approx(se, rel=1e-12)
    assert (row.ci_method, row.dof) == ("t", 59)
    # On the scale arcsin(d), whose standard deviation is that of the transformed replicates.
    half = stats.t.ppf(0.975, 59) * np.sqrt(60 / 59) * np.arcsin(expected).std(ddof=1)
    ends = np.sin(np.arcsin(row.delta) + np.array([-half, half]))
    assert_allclose((row.ci_low, row.ci_high), ends, rtol=1e-9)
    assert (row.sim_low, row.sim_high) == (row.ci_low, row.ci_high)
    assert row.mdd == pytest.approx((stats.t.ppf(0.975, 59) + stats.t.ppf(0.8, 59)) * se)
    distance = np.arcsin(row.delta) / (half / stats.t.ppf(0.975, 59))
    assert row.p_a_gt_b == pytest.approx(stats.t.cdf(distance, 59))
    assert row.p_raw == pytest.approx(2 * stats.t.sf(abs(distance), 59))
    assert row.B == 300
    differences = found.replicates["recall"]["a"] - found.replicates["recall"]["b"]
    assert_allclose(differences, expected, atol=1e-15)


def test_a_single_pair_needs_no_adjustment(scene: Scene) -> None:
    row = compare({"a": run(scene), "b": run(scene, 0.8)}, resamples=200, permutations=0).difference("a", "b")
    assert (row.p_adj, row.adjust) == (row.p_raw, "holm")


def test_the_leader_beats_the_worse_model_and_is_tied_with_the_similar_one(three: Comparison) -> None:
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
    assert row.p_raw < 0.001
    assert row.p_a_gt_b > 0.999
    assert row.sim_low <= row.ci_low < row.delta < row.ci_high <= row.sim_high


def test_a_difference_that_is_not_decisive_has_a_reason(three: Comparison, scene: Scene) -> None:
    row = three.difference("high", "low")
    assert row.decisive
    assert row.doubt == ""
    for changes, expected in (
        ({"too_few": True}, "too few images, groups or objects"),
        ({"ci_low": -0.01}, "its confidence interval contains 0"),
        ({"sim_low": -0.01}, "its simultaneous confidence interval over all pairs contains 0"),
        ({"p_raw": 0.061, "p_adj": 0.061}, "p = .061"),
        ({"p_raw": 0.061, "p_adj": 0.183}, "adjusted p = .183"),
        ({"ci_low": np.nan, "ci_high": np.nan}, "no confidence interval"),
    ):
        assert replace(row, decisive=False, **changes).doubt == expected
    few = compare({"a": run(scene_of(8)), "b": run(scene_of(8), 0.3)}, resamples=100, permutations=0)
    same = compare({"a": run(scene), "b": run(scene)}, resamples=100, permutations=0)
    assert same.pairwise[0].doubt == "its confidence interval contains 0"
    assert few.pairwise[0].doubt == "too few images, groups or objects"


def test_the_verdict_agrees_with_the_rows(three: Comparison) -> None:
    best, row = three.standing(three.models[0]), three.difference(three.models[0], "low")
    text = str(three.verdict)
    assert text.startswith(f"{best.model} has the highest ap, {100 * best.value:.1f} [")
    assert (
        f"It beats low by {100 * row.delta:.1f} [{100 * row.sim_low:.1f}, {100 * row.sim_high:.1f}]" in text
    )
    assert f"{three.models[1]} (" in text
    assert "is tied with it. With 60 images, a true difference of " in text
    assert text.endswith("There is one run per model; the variance between training seeds was not measured.")
    assert str(three).splitlines()[0] == text
    assert verdict_text(three.verdict, "AP").startswith(f"{best.model} has the highest AP, ")
    assert (three.verdict.kind, three.verdict.best) == ("decisive", best)
    assert [row.model_b for row in three.verdict.beaten] == ["low"]
    assert [row.model_b for row in three.verdict.tied] == [three.models[1]]


def test_the_lowest_value_leads_if_lower_is_better(scene: Scene) -> None:
    found = compare({"low": run(scene, 0.3), "high": run(scene)}, "olrp", resamples=200)
    values = {model: found.standing(model).value for model in found.models}
    assert values[found.models[0]] == min(values.values())
    row = found.pairwise[0]
    assert row.delta <= 0
    assert row.p_a_gt_b > 0.5
    assert "has the lowest olrp" in str(found.verdict)


def test_the_permutation_test_agrees_and_is_never_decisive(three: Comparison) -> None:
    rows = {row.model_b: row for row in three.pairwise if row.test == "label swap"}
    assert set(rows) == set(three.models[1:])
    assert rows["low"].p_raw == 1 / 201
    assert rows["low"].delta == pytest.approx(three.difference("high", "low").delta, abs=0.05)
    assert not any(row.decisive for row in rows.values())
    assert all(np.isnan(row.ci_low) and row.B == 200 for row in rows.values())


def test_fault_36_identical_runs_are_tied_without_a_star(scene: Scene) -> None:
    found = compare({"b": run(scene), "a": run(scene)}, resamples=100, permutations=50)
    row = found.difference("a", "b")
    assert (row.delta, row.ci_low, row.ci_high, row.sim_low, row.sim_high) == (0, 0, 0, 0, 0)
    assert (row.p_raw, row.p_adj, row.p_a_gt_b, row.decisive) == (1, 1, 0.5, False)
    for place in found.leaderboard:
        assert (place.rank, place.rank_low, place.rank_high) == (1, 1, 2)
        assert (place.letters, place.tied_with_best) == ("a", True)
    assert next(row for row in found.pairwise if row.test == "label swap").p_raw == 1
    assert str(found.verdict).startswith("a and b have the highest ap")
    assert "No difference is decisive." in str(found.verdict)
    assert (found.verdict.kind, found.verdict.equal) == ("not_decisive", ("b",))


def test_fault_34_one_image_one_class_one_object() -> None:
    catalog = Catalog.of([7], ["thing"])
    truth = AnnotationTable.of(catalog, [0], [0], [[0, 0, 10, 10]])
    hit = DetectionTable(catalog, np.array([0]), np.array([0]), np.array([[0.0, 0, 10, 10]]), np.array([0.9]))
    none = DetectionTable(catalog, *(np.zeros(0, int),) * 2, np.zeros((0, 4)), np.zeros(0))
    found = compare({"finds": (truth, hit), "blind": (truth, none)}, also=["f1", "precision", "olrp"])
    row = found.difference("finds", "blind")
    assert row.delta == pytest.approx(1.0)
    assert (row.decisive, row.too_few) == (False, True)  # however small the p-value of one image is
    assert np.isnan([row.ci_low, row.ci_high, row.se, row.sim_low]).all()
    assert str(found.verdict).startswith("finds has the highest ap, 100.0")
    assert "There are too few images, groups or objects for a decision (1 image)." in str(found.verdict)
    assert "is detected with a probability" not in str(found.verdict)
    assert found.verdict.kind == "too_few"
    few = next(note for note in found.notes if note.kind == "too_few")
    assert few.values == {"units": 1, "objects": 1}
    assert few.text.startswith("1 image with 1 object is too few")
    assert np.isnan(found.standing("blind", "precision").value)
    assert found.class_values[0].too_few
    assert influence({"finds": (truth, hit), "blind": (truth, none)}, "finds", "blind").undone_by is None


def test_without_valid_ground_truth_values_are_undefined() -> None:
    scene = scene_of(4)
    empty = AnnotationTable.of(scene.truth.catalog, [], [], [])
    found = compare({"a": (empty, scene.detections), "b": (empty, scene.detections)}, resamples=20)
    assert str(found.verdict) == (
        "ap is not defined on these images: there are no valid ground-truth objects."
    )
    assert np.isnan([row.value for row in found.leaderboard]).all()
    assert not any(row.decisive for row in found.pairwise)
    assert not found.class_pairs


def test_a_model_alone_has_an_interval_and_no_pairs(scene: Scene) -> None:
    found = compare({"alone": run(scene)}, resamples=200)
    assert found.pairwise == ()
    row = found.standing("alone")
    assert row.ci_low < row.value < row.ci_high
    assert str(found.verdict).startswith(f"alone has ap {100 * row.value:.1f} [")
    assert str(found.verdict).endswith(
        "There is one run; the variance between training seeds was not measured."
    )


def test_rare_classes_are_marked_with_their_share_of_the_mean(scene: Scene) -> None:
    truth = scene.truth
    few = np.flatnonzero(truth.label == 2)[5:]
    rows = np.setdiff1d(np.arange(len(truth)), few)
    thin = AnnotationTable(truth.catalog, *(column[rows] for column in truth.columns().values()))
    assert 0 < np.count_nonzero((thin.label == 2) & ~thin.crowd) < 20
    runs = {"a": (thin, run(scene)[1]), "b": (thin, run(scene, 0.9)[1])}
    found = compare(runs, also=["f1"], resamples=200, permutations=0)
    row, pair = found.standing("a"), found.difference("a", "b")
    assert row.rare_share == pair.rare_share == pytest.approx(1 / 3)
    assert found.standing("a", "f1").rare_share == found.difference("a", "b", "f1").rare_share == 0
    note = next(note for note in found.notes if note.kind == "rare_classes")
    assert note.values == {"rare": 1, "classes": 3, "share": pytest.approx(1 / 3)}
    assert "(1 of 3) carry 33% of the mean over classes" in note.text
    full = compare({"a": run(scene)}, resamples=200)
    assert full.standing("a").rare_share == 0
    assert not any(note.kind == "rare_classes" for note in full.notes)


def test_ranks_agree_with_the_probability_that_a_model_is_better(scene: Scene) -> None:
    seen = set()
    for kept in (0.995, 0.97, 0.9, 0.6):
        runs = {"a": run(scene), "b": run(scene, kept)}
        found = compare(runs, resamples=1000, permutations=0)
        pair = found.pairwise[0]
        if abs(pair.p_a_gt_b - 0.975) < 0.015:
            continue  # the share of 1,000 replicates has a standard error of 0.005
        certain = pair.p_a_gt_b > 0.975
        ranks = [(row.rank_low, row.rank_high) for row in found.leaderboard]
        assert ranks == ([(1, 1), (2, 2)] if certain else [(1, 2), (1, 2)])
        seen.add(certain)
    assert seen == {False, True}


def test_classes_with_few_objects_do_not_affect_the_adjustment_of_others(scene: Scene) -> None:
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
    note = next(note for note in found.notes if note.kind == "few_objects")
    assert note.values == {
        "class 2": next(r.objects for r in found.class_values if r.class_name == "class 2")
    }
    assert "class 2 (" in note.text


def test_each_class_equals_its_evaluation_alone(scene: Scene, three: Comparison) -> None:
    evaluation = evaluate(*run(scene))
    for row in three.class_values:
        if row.model == "high":
            assert row.value == pytest.approx(evaluation.value("ap", row.class_name), abs=1e-14)
            assert row.ci_low < row.value < row.ci_high
            valid = (scene.truth.label == int(row.class_name[-1])) & ~scene.truth.crowd
            assert row.objects == valid.sum()


def test_the_same_seed_gives_the_same_numbers_and_another_model_changes_no_pair(scene: Scene) -> None:
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
    ]  # given twice, present once
    assert len(three.classes_to_frame()) == 9


def test_matches_and_tables_give_the_same_comparison(scene: Scene) -> None:
    tables = {"a": run(scene), "b": run(scene, 0.7)}
    matches = {model: match(*given) for model, given in tables.items()}
    one, other = compare(tables, resamples=50), compare(matches, resamples=50)
    assert one.pairwise_to_frame().equals(other.pairwise_to_frame())


def test_a_custom_statistic(scene: Scene) -> None:
    strict = average_precision(MatchRule(), iou=(0.5, 0.75), area="medium", max_dets=10, name="strict")
    found = compare({"a": run(scene), "b": run(scene, 0.7)}, strict, resamples=50)
    expected = match(*run(scene)).curves(10).precision[[0, 5], :, :, 2]
    assert found.standing("a").value == pytest.approx(np.nanmean(expected), abs=1e-14)
    valid = match(*run(scene)).positives[2]
    assert [row.objects for row in found.class_values if row.model == "a"] == valid.tolist()


def test_importing_compare_does_not_import_heavy_packages() -> None:
    code = (
        "import sys; import metrics.compare;"
        "print([name for name in ('torch', 'pandas', 'scipy', 'numba', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_models_measures_and_scopes_are_named(three: Comparison) -> None:
    with pytest.raises(InputError, match="no model 'lo'; did you mean 'low'"):
        three.standing("lo")
    with pytest.raises(InputError, match="no measure 'ap5'; did you mean 'ap50'"):
        three.standing("low", "ap5")
    with pytest.raises(InputError, match="no row for 'low' and 'high' in scope 'class 9'"):
        three.difference("low", "high", scope="class 9")
