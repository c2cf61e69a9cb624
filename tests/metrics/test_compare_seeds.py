"""Variance of images and seeds: with several seeds intervals also cover training."""

from __future__ import annotations

import numpy as np
import pytest
from scene_runs import run, scene_of
from scipy import stats
from strategies import Scene

from metrics.compare import compare
from metrics.compare.estimates import SeededEstimate, estimate_models
from metrics.compare.seeds import standard_shifts
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.resampling import RunRankings, image_weights, named_statistic, replicate
from metrics.resampling.intervals import t_interval
from metrics.resampling.scale import Scale


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


def test_seeds_widen_the_interval_and_compare_training_recipes(scene: Scene) -> None:
    runs = {"a": [run(scene, 0.8, k) for k in range(4)], "b": [run(scene, 0.5, k) for k in range(4)]}
    found = compare(runs, resamples=500)
    assert found.compared == "training recipes"
    assert next(note for note in found.notes if note.kind == "recipes").values == {"a": 4, "b": 4}
    assert "There are 4 runs per model with different seeds; intervals include their variance." in str(
        found.verdict
    )
    row = found.standing("a")
    assert row.value == pytest.approx(np.mean(row.seeds))
    assert row.seed_low < row.value < row.seed_high
    single = compare({model: of[:1] for model, of in runs.items()}, resamples=500)
    assert single.compared == "single runs"
    assert next(note for note in single.notes if note.kind == "single_runs").values == {"a": 1, "b": 1}
    assert np.isnan(single.standing("a").seed_low)
    alone = compare({"a": runs["a"][:1]}, resamples=100)
    (note,) = [note for note in alone.notes if note.kind == "single_runs"]
    assert note.text.startswith("there is only one run: ")
    assert "order" not in note.text
    images_only = np.mean([replicate(RunRankings(match(*of)), image_weights(60, 500), [named_statistic("ap", MatchRule())])[0].values
                           for of in runs["a"]], axis=0)  # fmt: skip
    assert row.se > images_only.std(ddof=1)


def test_different_numbers_of_seeds_are_single_runs(scene: Scene) -> None:
    found = compare({"a": [run(scene, 0.8, k) for k in range(3)], "b": run(scene, 0.5)}, resamples=100)
    assert found.compared == "single runs"
    note = next(note for note in found.notes if note.kind == "single_runs")
    assert note.text.startswith(
        "there is only one run of b: the variance between training seeds was not measured"
    )
    assert str(found.verdict).endswith(
        "There is one run of b; the variance between training seeds was not measured there."
    )
    assert any(note.kind == "no_permutation_test" for note in found.notes)


def test_tables_have_the_number_of_seeds_and_their_finite_values(scene: Scene) -> None:
    found = compare({"a": [run(scene, 0.8, k) for k in range(3)], "b": run(scene, 0.5)}, resamples=50)
    table = found.to_frame()
    row = table[(table["model"] == "a") & (table["measure"] == "ap")].iloc[0]
    assert row["seeds"] == 3
    assert [float(text) for text in row["seed_values"].split()] == list(found.standing("a").seeds)
    assert not table["seed_values"].str.contains("nan").any()


def estimate_of(tables: dict[str, np.ndarray], units: int = 1_000_000) -> dict[str, SeededEstimate]:
    """Estimates from (1 + B, S) values by model."""
    resamples = len(next(iter(tables.values()))) - 1
    shifts = {model: standard_shifts(model, resamples, 0) for model in tables}
    return estimate_models(tables, shifts, units, Scale())


def test_variances_of_images_and_seeds_add_up() -> None:
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 2, 5)
    shared = np.append(0, rng.normal(0, 0.5, 200_000))[:, None]  # the same images for all seeds
    level = estimate_of({"m": seeds + shared})["m"]
    expected = 0.5**2 + seeds.var(ddof=1) / 5
    assert level.replicates.var() == pytest.approx(expected, rel=0.02)
    assert level.variance.total == pytest.approx(expected, rel=0.02)
    assert level.variance.seeds == pytest.approx(seeds.var(ddof=1) / 5)


def test_few_seeds_widen_intervals_as_students_t() -> None:
    seeds = np.array([0.1, 0.5, 0.9])
    alone = estimate_of({"m": np.tile(seeds, (1001, 1))})["m"].interval(0.95)
    assert (alone.low, alone.high) == pytest.approx(t_interval(seeds), abs=1e-9)
    # Two models of equal variance share their degrees of freedom: Student's test with equal variances.
    other = np.array([0.2, 0.6, 1.0])
    both = estimate_of({"m": np.tile(seeds, (1001, 1)), "n": np.tile(other, (1001, 1))})
    delta = (both["m"] - both["n"]).interval(0.95)
    test = stats.ttest_ind(seeds, other)
    assert delta.dof == pytest.approx(4)
    assert delta.p_value == pytest.approx(test.pvalue)
    assert (delta.low, delta.high) == pytest.approx(tuple(test.confidence_interval()))


def test_a_model_with_one_seed_has_the_seed_variance_of_the_others() -> None:
    several, one = np.array([0.1, 0.5, 0.9]), np.array([0.3])
    both = estimate_of({"m": np.tile(several, (501, 1)), "n": np.tile(one, (501, 1))})
    delta = both["m"] - both["n"]
    variance = several.var(ddof=1)
    assert delta.variance.seeds == pytest.approx(variance / 3 + variance)
    assert delta.variance.dof == pytest.approx(2)
    assert delta.limited_by(0.95) == "seeds"
    alone = estimate_of({"n": np.tile(one, (501, 1))})["n"]
    assert (alone.variance.seeds, alone.limited_by(0.95)) == (0.0, "images")


def test_the_interaction_of_seeds_and_images_is_not_counted_twice() -> None:
    rng = np.random.default_rng(0)
    images = np.concatenate([np.full((1, 100), 0.01), rng.multinomial(100, np.full(100, 0.01), 4000) / 100])
    of_image = rng.normal(0, 1, 100) + rng.normal(0, 2, (4, 100))  # four seeds that learned equally well
    values = images @ of_image.T
    level = estimate_of({"m": values}, units=100)["m"]
    of_images = values[1:].mean(axis=1).var()
    assert level.variance.total == pytest.approx(of_images, rel=0.25)
    assert of_images + values[0].var(ddof=1) / 4 > 1.5 * level.variance.total


@pytest.mark.parametrize("own", [0.1, 0.5], ids=["similar seeds", "different seeds"])
@pytest.mark.parametrize("counts", [(3, 3), (2, 2), (1, 3)])
def test_intervals_of_few_seeds_cover_where_those_of_images_do_not(
    counts: tuple[int, int], own: float
) -> None:
    rng = np.random.default_rng(0)
    held, plain = [], []
    for number in range(400):
        images = rng.multinomial(50, np.full(50, 0.02), 200) / 50
        images = np.concatenate([np.full((1, 50), 0.02), images])
        common = rng.normal(0, 1, 50)
        tables = {}
        for model, seeds in zip("ab", counts, strict=True):
            of_image = rng.normal(0, 0.15, (seeds, 1)) + common + rng.normal(0, own, (seeds, 50))
            tables[model] = images @ of_image.T
        shifts = {model: standard_shifts(model, 200, number) for model in tables}
        both = estimate_models(tables, shifts, 50, Scale())
        delta = both["a"] - both["b"]
        found = delta.interval(0.95)
        held.append(found.low <= 0 <= found.high)
        plain.append(abs(delta.value) <= 1.96 * delta.images.std(ddof=1))
    # The standard error of 400 cases is 1.1%.
    assert 0.95 - 0.045 <= np.mean(held) <= 0.995
    assert np.mean(plain) < 0.90


def test_intervals_of_two_seeds_that_differ_widely_stay_in_the_unit_interval(scene: Scene) -> None:
    runs = {"a": [run(scene, 0.9), run(scene, 0.1)], "b": [run(scene, 0.8), run(scene, 0.2)]}
    found = compare(runs, also=["olrp", "f1"], resamples=200, permutations=0)
    for row in found.leaderboard:
        assert 0 <= row.ci_low <= row.value <= row.ci_high <= 1
    for pair in found.pairwise:
        assert -1 <= pair.ci_low <= pair.delta <= pair.ci_high <= 1
        assert pair.se < 0.5
        assert pair.mdd <= 1
        assert pair.limited_by == "seeds"
    assert found.verdict.limited_by == "seeds"
    assert "More seeds, rather than more images, would detect smaller differences." in str(found.verdict)
    for values in found.replicates["ap"].values():
        assert (values >= 0).all()
        assert (values <= 1).all()
