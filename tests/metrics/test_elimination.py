"""Successive elimination, against scipy's paired t test, closed forms and simulated models with known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metrics.compare.estimates import estimate_models
from metrics.designs.elimination import LOOKS, eliminated, look_level, pair_tests, requirement
from metrics.resampling.scale import Scale
from tests.benchmarks.elimination import World, rates


def estimates_of(values, resamples=4000, seed=0):
    """Estimates of means over images: by model (S, I) values of each seed."""
    rng = np.random.default_rng(seed)
    images = next(iter(values.values())).shape[1]
    weights = rng.multinomial(images, np.full(images, 1 / images), resamples) / images
    tables = {name: np.concatenate([of.mean(1)[None], weights @ of.T]) for name, of in values.items()}
    return estimate_models(tables, {name: np.zeros(resamples) for name in tables}, images, Scale(None))


@given(st.floats(0.001, 0.5), st.integers(1, 6), st.integers(1, 200))
def test_levels_of_any_number_of_looks_sum_to_at_most_the_error_rate(error, first, looks):
    levels = [look_level(error, number, first) for number in range(1, looks + 1)]
    assert sum(levels) <= error * (1 + 1e-12)
    assert sum(levels[:first]) <= 0.8 * error + 1e-12
    assert levels == sorted(levels, reverse=True)
    assert min(levels) >= 0


def test_first_looks_share_most_of_the_error_rate():
    assert [look_level(0.025, number) for number in range(1, LOOKS + 1)] == pytest.approx([0.004] * LOOKS)
    assert look_level(0.025, 1, 1) == pytest.approx(0.02)
    assert look_level(0.025, 2, 1) == pytest.approx(0.004)


def test_pairs_of_single_runs_have_the_p_value_of_the_paired_t_test():
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.2, 60)
    values = {
        "a": 0.50 + common + rng.normal(0, 0.1, 60),
        "b": 0.54 + common + rng.normal(0, 0.1, 60),
        "c": 0.45 + common + rng.normal(0, 0.1, 60),
    }
    found = pair_tests(estimates_of({name: of[None] for name, of in values.items()}, 20_000), 0.01)
    assert len(found) == 3
    for test in found:
        expected = stats.ttest_rel(values[test.better], values[test.worse])
        interval = expected.confidence_interval(0.99)
        assert test.delta == pytest.approx(values[test.better].mean() - values[test.worse].mean())
        assert test.delta >= 0
        # A standard error from 20,000 replicates is uncertain by 0.5%.
        t = stats.t.isf(test.p_value / 2, 59)
        assert t == pytest.approx(abs(expected.statistic), rel=0.02)
        assert (test.low, test.high) == pytest.approx((interval.low, interval.high), abs=0.002)
        assert test.seeds_se == 0
        assert test.dof == 59


def test_variance_between_seeds_keeps_a_lucky_model():
    rng = np.random.default_rng(2)
    images = rng.normal(0, 0.02, 100)
    of_seeds = {"lucky": [0.60, 0.50], "other": [0.54, 0.46]}
    values = {name: images + np.array(seeds)[:, None] for name, seeds in of_seeds.items()}
    single = {name: of[:1] for name, of in values.items()}
    assert set(eliminated(pair_tests(estimates_of(single), 0.01))) == {"other"}
    (test,) = pair_tests(estimates_of(values), 0.01)
    assert eliminated([test]) == {}
    assert test.se**2 == pytest.approx(test.images_se**2 + test.seeds_se**2)
    # Two models of two seeds each: the mean of both variances, in each of the two means.
    assert test.seeds_se == pytest.approx(math.sqrt((0.1**2 / 2 + 0.08**2 / 2) / 2), rel=0.02)


def test_a_model_is_eliminated_by_its_clearest_rival():
    rng = np.random.default_rng(3)
    common = rng.normal(0, 0.1, 200)
    values = {
        name: (value + common + rng.normal(0, 0.05, 200))[None]
        for name, value in (("low", 0.3), ("high", 0.5), ("middle", 0.45))
    }
    tests = pair_tests(estimates_of(values), 0.01)
    found = eliminated(tests)
    assert set(found) == {"low", "middle"}
    assert found["low"].better == "high"


def test_models_with_equal_detections_eliminate_nothing():
    values = np.random.default_rng(4).normal(0.5, 0.1, (2, 60))
    assert eliminated(pair_tests(estimates_of({"a": values, "b": values.copy()}), 0.05)) == {}


def test_required_images_follow_the_closed_form():
    rng = np.random.default_rng(5)
    values = {"a": rng.normal(0.51, 0.2, (1, 400)), "b": rng.normal(0.5, 0.2, (1, 400))}
    estimates = estimates_of(values)
    difference = estimates["a"] - estimates["b"]
    needed = requirement(difference, 0.01)
    z = stats.norm.ppf(0.995) + stats.norm.ppf(0.8)
    expected = (z * difference.interval(0.99).se / difference.value) ** 2
    assert needed.images == pytest.approx(max(expected, 1), abs=0.25 + 0.05 * expected)
    assert needed.seeds == (math.inf if expected > 1 else 1)  # there is one seed of each


def test_more_seeds_help_where_seeds_dominate_and_images_do_not():
    rng = np.random.default_rng(6)
    images = rng.normal(0, 0.001, 300)
    values = {"a": images + np.array([[0.52], [0.56]]), "b": images + np.array([[0.50], [0.54]])}
    needed = requirement(estimates_of(values)["a"] - estimates_of(values)["b"], 0.01)
    assert needed.images == math.inf
    assert 4 < needed.seeds < 100
    assert needed.both == needed.seeds


@pytest.mark.parametrize("failures", [0.0, 0.05])
def test_simulated_equal_models_are_not_eliminated(failures):
    found = rates(World("equal", (0.5,) * 4, seed_sd=0.02, failures=failures), 100)
    assert found.best_eliminated <= 0.08  # expected: at most 5%; 100 experiments have a standard error of 2%
    assert found.wrong_winner <= 0.04


def test_the_simulated_best_model_wins_where_it_is_clearly_better():
    found = rates(World("different", (0.5, 0.38, 0.38, 0.38)), 60)
    assert found.best_used == 1
    assert found.winner >= 0.9
    assert found.best_eliminated == found.best_aside == 0
    assert found.loss == 0
