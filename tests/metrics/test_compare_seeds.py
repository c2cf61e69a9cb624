"""Variance of images and seeds: with several seeds intervals also cover training."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scene_runs import run, scene_of
from scipy import stats
from strategies import Scene

from metrics.compare import compare
from metrics.compare.seeds import SeededEstimate, combine_seeds, seed_weights
from metrics.matching import MatchRule, match
from metrics.resampling import RunRankings, image_weights, named_statistic, replicate


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


def test_variances_of_images_and_seeds_add_up() -> None:
    rng = np.random.default_rng(0)
    draws = seed_weights("model", 5, 200_000, 0)
    assert_allclose(draws.sum(axis=1), 1.0)
    estimates = rng.normal(0, 2, 5)
    shared = rng.normal(0, 0.5, (200_000, 1))  # the same images for all seeds
    level = combine_seeds(estimates, estimates + shared, draws)
    expected = 0.5**2 + estimates.var(ddof=1) / 5
    assert level.replicates.var() == pytest.approx(expected, rel=0.02)
    assert level.seed_variance == pytest.approx((estimates.var(ddof=1) / 5,))


def test_few_seeds_widen_intervals_as_students_t() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.normal(0, 1, 100_000)
    seeds_alone = SeededEstimate(0.0, replicates, (1.0,), (2,))  # all spread is that of three seeds
    assert np.quantile(seeds_alone.stretched(0.95), 0.975) == pytest.approx(stats.t.ppf(0.975, 2), rel=0.02)
    images_alone = SeededEstimate(0.0, replicates, (0.0,), (0,))
    assert_array_equal(images_alone.stretched(0.95), replicates)
    # Welch: (1 + 1)^2 / (1 / 2 + 1 / 4) degrees of freedom for two models of three and five seeds.
    both = SeededEstimate(0.0, np.sqrt(2) * replicates, (1.0, 1.0), (2, 4))
    freedom = 4 / (1 / 2 + 1 / 4)
    expected = np.sqrt(2) * stats.t.ppf(0.975, freedom)
    assert np.quantile(both.stretched(0.95), 0.975) == pytest.approx(expected, rel=0.02)


def test_the_interaction_of_seeds_and_images_is_not_counted_twice() -> None:
    rng = np.random.default_rng(0)
    images = rng.multinomial(100, np.full(100, 0.01), 4000) / 100
    of_image = rng.normal(0, 1, 100) + rng.normal(0, 2, (4, 100))  # four seeds that learned equally well
    estimates, values = of_image.mean(axis=1), images @ of_image.T
    level = combine_seeds(estimates, values, seed_weights("m", 4, 4000, 0))
    assert level.replicates.var() == pytest.approx(values.mean(axis=1).var(), rel=0.25)
    assert (values * seed_weights("m", 4, 4000, 0)).sum(axis=1).var() > 1.5 * level.replicates.var()


@pytest.mark.parametrize("own", [0.1, 0.5], ids=["similar seeds", "different seeds"])
def test_intervals_of_three_seeds_cover_where_those_of_images_do_not(own: float) -> None:
    rng = np.random.default_rng(0)
    held, plain = [], []
    for number in range(400):
        shown = rng.multinomial(50, np.full(50, 0.02), 300) / 50
        of_image = rng.normal(0, 0.1, (3, 1)) + rng.normal(0, 1, 50) + rng.normal(0, own, (3, 50))
        estimates, values = of_image.mean(axis=1), shown @ of_image.T
        level = combine_seeds(estimates, values, seed_weights("m", 3, 300, number))
        for of, replicates in ((held, level.stretched(0.95)), (plain, values[:, 0])):
            low, high = np.quantile(replicates, [0.025, 0.975])
            of.append(low <= 0 <= high)
    assert 0.92 <= np.mean(held) <= 0.97
    assert np.mean(plain) < 0.91
