"""Intervals, adjustments, ranks and letters against closed forms, scipy, brute force and arithmetic by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from metrics.errors import InputError
from metrics.resampling.intervals import (
    bca_tails,
    bootstrap_interval,
    bootstrap_p_value,
    probability_above_zero,
    t_interval,
)
from metrics.resampling.multiple_comparisons import (
    benjamini_hochberg,
    compact_letters,
    holm,
    max_deviation,
    rank_intervals,
    simultaneous_intervals,
)

P_VALUES = st.lists(st.floats(0.001, 1), min_size=1, max_size=12)


def resampled_means(sample: np.ndarray[Any, Any], count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return sample[rng.integers(0, len(sample), (count, len(sample)))].mean(axis=1)


def test_the_percentile_interval_of_a_normal_mean_equals_the_textbooks() -> None:
    sample = np.random.default_rng(1).normal(5, 2, 400)
    found = bootstrap_interval(sample.mean(), resampled_means(sample, 20_000))
    se = sample.std() / 20
    assert found.method == "percentile"
    assert found.se == pytest.approx(se, rel=0.02)
    assert (found.low, found.high) == pytest.approx(
        (sample.mean() - 1.96 * se, sample.mean() + 1.96 * se), abs=0.01
    )
    assert abs(found.bias) < 0.01 * se + 0.002
    assert found.resamples == 20_000


def test_the_interval_of_a_mean_of_few_units_is_students() -> None:
    sample = stats.norm.ppf((np.arange(12) + 0.5) / 12)
    found = bootstrap_interval(sample.mean(), resampled_means(sample, 200_000), units=12)
    assert (found.low, found.high) == pytest.approx(t_interval(sample), rel=0.03)
    plain = bootstrap_interval(sample.mean(), resampled_means(sample, 200_000))
    assert found.high - found.low > 1.15 * (plain.high - plain.low)


def test_one_unit_has_no_interval() -> None:
    assert bootstrap_interval(0.4, np.full(100, 0.4), units=1).method == "none"


@given(st.integers(0, 1000), st.sampled_from((0.8, 0.95, 0.99)))
def test_bca_equals_scipys(seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    sample = rng.exponential(1, 25)
    draws = sample[rng.integers(0, 25, (500, 25))]
    replicates, estimate = draws.std(axis=1), sample.std()
    without = np.array([np.delete(sample, k).std() for k in range(25)])
    theirs = stats.bootstrap(
        (sample,),
        lambda values, axis: np.std(values, axis=axis),
        n_resamples=0,
        confidence_level=confidence,
        method="BCa",
        bootstrap_result=type("Earlier", (), {"bootstrap_distribution": replicates})(),
    ).confidence_interval
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    ours = np.quantile(replicates, bca_tails(estimate, replicates, without, tails))
    assert_allclose(ours, (theirs.low, theirs.high), rtol=1e-12)


def test_a_bias_above_a_tenth_of_the_standard_error_leads_to_bca() -> None:
    calls: list[int] = []

    def jackknife() -> np.ndarray[Any, Any]:
        calls.append(1)
        return np.array([0.1, 0.2, 0.4])

    replicates = np.random.default_rng(0).normal(0, 1, 5000)
    assert bootstrap_interval(0.07, replicates, jackknife=jackknife).method == "percentile"
    assert not calls  # the jackknife is as slow as the bootstrap, so it is computed only if needed
    assert bootstrap_interval(0.13, replicates, jackknife=lambda: np.array([0.1, 0.2, 0.4])).method == "bca"
    corrected = bootstrap_interval(0.3, replicates, jackknife=jackknife)
    assert (corrected.method, len(calls)) == ("bca", 1)
    assert corrected.bias == pytest.approx(-0.3, abs=0.05)
    assert corrected.low > np.quantile(replicates, 0.025)  # moved against the bias


def test_the_percentile_interval_remains_where_bca_diverges() -> None:
    replicates = np.linspace(1, 2, 100)
    assert bootstrap_interval(0.5, replicates, jackknife=lambda: np.array([0.1, 0.2])).method == "percentile"
    assert np.isnan(bca_tails(0.5, replicates, np.array([0.1, 0.2]), np.array([0.025]))).all()


def test_undefined_values_have_no_interval() -> None:
    for found in (
        bootstrap_interval(float("nan"), np.zeros(9)),
        bootstrap_interval(1.0, np.full(9, np.nan)),
        bootstrap_interval(1.0, np.zeros(1)),
    ):
        assert found.method == "none"
        assert np.isnan([found.low, found.high, found.se]).all()


def test_undefined_replicates_are_left_out() -> None:
    values = np.append(np.random.default_rng(0).normal(size=500), [np.nan] * 20)
    assert bootstrap_interval(0.0, values) == bootstrap_interval(0.0, values[:500])


def test_p_value_counts_both_sides_and_itself() -> None:
    # From a difference of 2, the replicates at -0.5, 4 and 0 deviate by at least 2.
    assert bootstrap_p_value(2.0, np.array([-0.5, 4.0, 0.0, 1.0, 2.5])) == pytest.approx(4 / 6)
    assert bootstrap_p_value(0.0, np.zeros(99)) == 1.0
    assert bootstrap_p_value(5.0, np.full(99, 5.0)) == 1 / 100  # never 0
    assert np.isnan(bootstrap_p_value(float("nan"), np.zeros(9)))


def test_the_p_value_of_a_normal_difference_equals_the_z_tests() -> None:
    estimate = 1.7
    replicates = np.random.default_rng(0).normal(estimate, 1, 50_000)
    assert bootstrap_p_value(estimate, replicates) == pytest.approx(2 * stats.norm.sf(1.7), abs=0.005)
    assert probability_above_zero(replicates) == pytest.approx(stats.norm.cdf(1.7), abs=0.005)


def test_the_share_above_counts_ties_half() -> None:
    assert probability_above_zero(np.array([1.0, 0.0, -1.0, 1e-17])) == 0.5
    assert probability_above_zero(np.zeros(5)) == 0.5
    assert np.isnan(probability_above_zero(np.array([np.nan])))


def test_the_t_interval_equals_scipys() -> None:
    values = np.array([0.341, 0.352, 0.338])
    theirs = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert t_interval(values) == pytest.approx(theirs, rel=1e-12)
    assert np.isnan(t_interval(values[:1])).all()


def test_holm_by_hand() -> None:
    # In ascending order: 4 x .01, 3 x .02, 2 x .03, 1 x .04, and none below its predecessor.
    assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])
    assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])
    assert holm([]).shape == (0,)


@given(P_VALUES)
def test_holm_rejects_what_its_steps_reject(p_values: list[float]) -> None:
    level = 0.05
    rejected = set()
    for step, index in enumerate(np.argsort(p_values, kind="stable")):  # the procedure as Holm wrote it
        if p_values[index] > level / (len(p_values) - step):
            break
        rejected.add(int(index))
    assert set(np.flatnonzero(holm(p_values) <= level).tolist()) == rejected


@given(P_VALUES)
def test_benjamini_hochberg_equals_scipys(p_values: list[float]) -> None:
    assert_allclose(benjamini_hochberg(p_values), stats.false_discovery_control(p_values), rtol=1e-12)
    with_gap = benjamini_hochberg([*p_values, float("nan")])
    assert_array_equal(with_gap[:-1], benjamini_hochberg(p_values))
    assert np.isnan(with_gap[-1])


def test_simultaneous_intervals_of_independent_differences_are_sidaks() -> None:
    replicates = np.random.default_rng(0).normal(0, [1, 2, 5, 1], (60_000, 4))
    low, high, _ = simultaneous_intervals(np.zeros(4), replicates, replicates.std(axis=0))
    quantile = stats.norm.ppf((1 + 0.95**0.25) / 2)
    assert_allclose(high, quantile * np.array([1, 2, 5, 1]), rtol=0.02)
    assert_allclose(low, -high)


def test_simultaneous_intervals_of_equal_differences_are_those_of_one() -> None:
    replicates = np.repeat(np.random.default_rng(0).normal(0.3, 1, (20_000, 1)), 6, axis=1)
    _, high, p = simultaneous_intervals(np.full(6, 0.3), replicates, replicates.std(axis=0))
    assert_allclose(high, 0.3 + 1.96, atol=0.04)
    assert_allclose(p, bootstrap_p_value(0.3, replicates[:, 0]), atol=0.002)


def test_a_constant_difference_has_no_deviation() -> None:
    moving = np.random.default_rng(0).normal(size=(500, 1))
    both = np.concatenate([moving, np.zeros((500, 1))], axis=1)
    estimates, spread = np.zeros(2), np.array([1.0, 0.0])
    assert_array_equal(max_deviation(estimates, both, spread), np.abs(moving[:, 0]))
    low, high, p = simultaneous_intervals(estimates, both, spread)
    assert (low[1], high[1], p[1]) == (0, 0, 1)
    assert_array_equal(max_deviation(estimates, both, np.zeros(2)), np.zeros(500))


def test_rank_intervals_cover_the_ranks_of_the_replicates() -> None:
    replicates = np.array([[0.9, 0.5, 0.1]] * 60 + [[0.5, 0.9, 0.1]] * 40)
    best, worst = rank_intervals(replicates)
    assert (best.tolist(), worst.tolist()) == ([1, 1, 3], [2, 2, 3])
    best, worst = rank_intervals(replicates, higher_is_better=False)
    assert (best.tolist(), worst.tolist()) == ([2, 2, 1], [3, 3, 1])


def test_equal_models_share_their_ranks() -> None:
    best, worst = rank_intervals(np.array([[0.5, 0.5, 0.7]] * 50))
    assert (best.tolist(), worst.tolist()) == ([2, 2, 1], [3, 3, 1])


@given(st.integers(2, 7), st.data())
def test_two_models_share_a_letter_exactly_where_they_do_not_differ(count: int, data: st.DataObject) -> None:
    names = [f"m{k}" for k in range(count)]
    pairs = list(combinations(names, 2))
    differ = data.draw(st.lists(st.sampled_from(pairs), unique=True))
    found = compact_letters(names, differ)
    for one, other in pairs:
        assert bool({*found[one]} & {*found[other]}) == ((one, other) not in differ)
    assert all(found.values())
    assert "a" in found["m0"]


def test_letters_by_hand() -> None:
    names = ["fcos", "retinanet", "ssd"]
    assert compact_letters(names, []) == {"fcos": "a", "retinanet": "a", "ssd": "a"}
    assert compact_letters(names, [("fcos", "ssd")]) == {"fcos": "a", "retinanet": "ab", "ssd": "b"}
    assert compact_letters(names, list(combinations(names, 2))) == {"fcos": "a", "retinanet": "b", "ssd": "c"}


def test_letters_continue_after_z() -> None:
    names = [str(k) for k in range(30)]
    found = compact_letters(names, list(combinations(names, 2)))
    assert (found["25"], found["26"], found["29"]) == ("z", "(aa)", "(ad)")


@pytest.mark.parametrize(
    "call", [lambda: bootstrap_interval(0, np.zeros(9), 95), lambda: t_interval(np.zeros(3), 0)]
)
def test_a_confidence_in_percent_is_rejected(call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="confidence: expected a number between 0 and 1, got"):
        call()
