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
    Interval,
    permutation_p_value,
    pointwise_t_intervals,
    t_interval,
    t_interval_of_replicates,
)
from metrics.resampling.multiple_comparisons import (
    benjamini_hochberg,
    compact_letters,
    holm,
    max_deviation,
    rank_intervals,
    simultaneous_quantile,
)
from metrics.resampling.scale import Scale
from metrics.resampling.variance import Variance, variance_over_images

P_VALUES = st.lists(st.floats(0.001, 1), min_size=1, max_size=12)


def resampled_means(sample: np.ndarray[Any, Any], count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return sample[rng.integers(0, len(sample), (count, len(sample)))].mean(axis=1)


def interval_of_mean(sample: np.ndarray[Any, Any], confidence: float = 0.95) -> Interval:
    replicates = resampled_means(sample, 20_000)
    variance = Variance(*variance_over_images(replicates, len(sample))[:1], 0.0, len(sample) - 1.0)
    return t_interval_of_replicates(float(sample.mean()), replicates, variance, confidence)


@pytest.mark.parametrize("count", [5, 12, 400])
def test_the_interval_of_a_mean_is_students(count: int) -> None:
    sample = np.random.default_rng(1).normal(5, 2, count)
    found = interval_of_mean(sample)
    # The variance of 20,000 resampled means is known to 1%, its root to half of that.
    half = found.high - found.estimate
    assert (found.low, found.high) == pytest.approx(t_interval(sample), abs=0.03 * half)
    assert found.se == pytest.approx(sample.std(ddof=1) / np.sqrt(count), rel=0.03)
    assert abs(found.bias) < 0.03 * found.se
    assert (found.method, found.resamples, found.dof) == ("t", 20_000, count - 1)


def test_one_unit_has_no_interval() -> None:
    assert variance_over_images(np.full(100, 0.4), 1) == (0.0, 0.0)
    assert t_interval_of_replicates(0.4, np.full(100, 0.4), Variance(0.0, 0.0, 0.0)).method == "none"


BOUNDS = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-3.0, 2.0), None])


@given(st.floats(0, 1), st.floats(0, 3), st.floats(1, 200), BOUNDS, st.integers(0, 99))
def test_intervals_stay_within_the_bounds(
    at: float, spread: float, dof: float, bounds: tuple[float, float] | None, seed: int
) -> None:
    low, high = bounds or (0.0, 1.0)
    estimate = low + at * (high - low)
    replicates = np.random.default_rng(seed).normal(estimate, spread, 60)
    if bounds is not None:
        replicates = np.clip(replicates, *bounds)
    variance = Variance(spread**2, spread**2, dof)
    found = t_interval_of_replicates(estimate, replicates, variance, scale=Scale(bounds))
    if bounds is not None:
        assert low - 1e-12 <= found.low <= found.high <= high + 1e-12
    assert found.low <= estimate + 1e-9
    assert estimate - 1e-9 <= found.high
    assert found.se == pytest.approx(np.sqrt(2) * spread, abs=1e-11)


@given(st.floats(-1, 1), st.floats(0, 2), st.floats(0, 2))
def test_the_scale_is_increasing_and_invertible(value: float, other: float, width: float) -> None:
    for scale in (Scale((-1.0, 1.0)), Scale(), Scale((-1.0, 1.0 + width))):
        assert scale.inverse(scale.forward(value)) == pytest.approx(value, abs=1e-7)
        if min(value + other, 1) > value + 1e-6:
            assert scale.forward(min(value + other, 1)) > scale.forward(value)


def test_the_scale_of_a_share_is_the_angle_whose_variance_is_constant() -> None:
    shares = np.array([0.05, 0.3, 0.5, 0.9])
    counts = np.random.default_rng(0).binomial(400, shares, (100_000, 4))
    # The standard deviation of 2 arcsin(sqrt(p)) is 1 / sqrt(n); 1% is the next order at p = .05.
    assert_allclose(Scale((0.0, 1.0)).forward(counts / 400).std(axis=0), 1 / 20, rtol=0.02)


@given(st.floats(-0.9, 0.9), st.floats(0.001, 0.5), st.floats(1, 100), st.sampled_from((0.8, 0.95, 0.99)))
def test_the_p_value_is_below_the_level_exactly_where_the_interval_excludes_0(
    estimate: float, spread: float, dof: float, confidence: float
) -> None:
    replicates = np.clip(np.random.default_rng(0).normal(estimate, spread, 50), -1, 1)
    variance = Variance(spread**2, 0.0, dof)
    found = t_interval_of_replicates(estimate, replicates, variance, confidence, Scale((-1.0, 1.0)))
    if abs(found.p_value - (1 - confidence)) > 1e-9:
        assert (found.p_value < 1 - confidence) == (found.low > 0 or found.high < 0)
    assert found.probability_above_zero == pytest.approx(
        1 - found.p_value / 2 if estimate > 0 else found.p_value / 2, abs=1e-9
    )


def test_an_estimate_of_0_has_p_value_1() -> None:
    found = t_interval_of_replicates(0.0, np.zeros(9), Variance(0.0, 0.0, 5.0), scale=Scale((-1.0, 1.0)))
    assert (found.low, found.high, found.p_value, found.probability_above_zero) == (0, 0, 1, 0.5)


def test_the_minimum_detectable_difference_has_the_power_that_it_states() -> None:
    replicates = np.random.default_rng(0).normal(0, 0.01, 500)
    found = t_interval_of_replicates(0.0, replicates, Variance(1e-4, 0.0, 1e6))
    assert found.detectable(0.95) == pytest.approx(2.8016 * 0.01, rel=1e-4)
    # With d degrees of freedom, the power of the t test at that difference, from scipy's noncentral t: about 80%.
    for dof in (2.0, 5.0, 30.0):
        few = t_interval_of_replicates(0.0, replicates, Variance(1e-4, 0.0, dof))
        power = stats.nct.sf(stats.t.ppf(0.975, dof), dof, few.detectable(0.95) / 0.01)
        assert 0.76 < power < 0.83
    bounded = t_interval_of_replicates(0.0, replicates, Variance(0.04, 0.0, 1.0), scale=Scale((-1.0, 1.0)))
    assert bounded.detectable(0.95) == 1.0  # no difference is larger


def test_undefined_values_have_no_interval() -> None:
    known = Variance(1.0, 0.0, 5.0)
    for found in (
        t_interval_of_replicates(float("nan"), np.zeros(9), known),
        t_interval_of_replicates(1.0, np.full(9, np.nan), known),
        t_interval_of_replicates(1.0, np.zeros(1), known),
    ):
        assert found.method == "none"
        assert np.isnan([found.low, found.high, found.se, found.p_value, found.detectable(0.95)]).all()


def test_undefined_replicates_are_left_out() -> None:
    values = np.append(np.random.default_rng(0).normal(size=500), [np.nan] * 20)
    known = Variance(1.0, 0.0, 5.0)
    assert t_interval_of_replicates(0.0, values, known) == t_interval_of_replicates(0.0, values[:500], known)


def test_p_value_of_a_permutation_test_counts_itself() -> None:
    assert permutation_p_value(2.0, np.array([-2.5, 2.0, -2.0, 1.0, 0.5])) == pytest.approx(4 / 6)
    assert permutation_p_value(0.0, np.zeros(99)) == 1.0
    assert permutation_p_value(5.0, np.zeros(99)) == 1 / 100  # never 0
    assert np.isnan(permutation_p_value(float("nan"), np.zeros(9)))


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
    assert simultaneous_quantile(replicates) == pytest.approx(stats.norm.ppf((1 + 0.95**0.25) / 2), rel=0.02)


def test_simultaneous_intervals_of_equal_differences_are_those_of_one() -> None:
    replicates = np.repeat(np.random.default_rng(0).normal(0.3, 1, (20_000, 1)), 6, axis=1)
    assert simultaneous_quantile(replicates) == pytest.approx(1.96, abs=0.04)
    assert simultaneous_quantile(replicates[:, :1]) == pytest.approx(stats.norm.ppf(0.975))


def test_a_constant_difference_has_no_deviation() -> None:
    moving = np.random.default_rng(0).normal(size=(500, 1))
    both = np.concatenate([moving, np.zeros((500, 1))], axis=1)
    estimates, spread = np.zeros(2), np.array([1.0, 0.0])
    assert_array_equal(max_deviation(estimates, both, spread), np.abs(moving[:, 0]))
    assert_array_equal(max_deviation(estimates, both, np.zeros(2)), np.zeros(500))


def test_rank_intervals_cover_the_ranks_of_the_replicates() -> None:
    replicates = np.array([[0.9, 0.5, 0.1]] * 60 + [[0.5, 0.9, 0.1]] * 40)
    ahead = replicates[:, None, :] > replicates[:, :, None]
    best, worst = rank_intervals(ahead, np.eye(3, dtype=bool))
    assert (best.tolist(), worst.tolist()) == ([1, 1, 3], [2, 2, 3])


def test_equal_models_share_their_ranks() -> None:
    replicates = np.array([[0.5, 0.5, 0.7]] * 50)
    equal = replicates[0, :, None] == replicates[0, None, :]
    best, worst = rank_intervals(replicates[:, None, :] > replicates[:, :, None], equal)
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
    "call",
    [
        lambda: t_interval_of_replicates(0, np.zeros(9), Variance(1, 0, 5), 95),
        lambda: t_interval(np.zeros(3), 0),
    ],
)
def test_a_confidence_in_percent_is_rejected(call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="confidence: expected a number between 0 and 1, got"):
        call()


@pytest.mark.parametrize("units", [1, 2, 30])
@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_intervals_of_all_points_of_a_curve_are_those_of_each_point(units, bounds):
    rng = np.random.default_rng(7)
    replicates = rng.beta(2, 5, (60, 40))
    replicates[rng.random(replicates.shape) < 0.2] = np.nan
    replicates[:, 0] = np.nan  # undefined in all resamples
    replicates[1:, 1] = np.nan  # in all but one
    replicates[:, 2] = 0.25  # certain
    replicates[:, 3] = np.where(rng.random(60) < 0.5, 0.0, 1.0)
    estimates = np.nan_to_num(replicates[0], nan=0.5)
    estimates[2], estimates[4] = 0.25, np.nan
    variances = []
    for column in replicates.T:
        defined = column[~np.isnan(column)]
        variances.append(variance_over_images(defined, units) if len(defined) > 1 else (0.0, 0.0))
    variance, dof = np.array(variances).T
    low, high = pointwise_t_intervals(estimates, replicates, np.sqrt(variance), dof, 0.9, Scale(bounds))
    for at, estimate in enumerate(estimates):
        known = Variance(variance[at], 0.0, dof[at])
        one = t_interval_of_replicates(estimate, replicates[:, at], known, 0.9, Scale(bounds))
        assert (low[at], high[at]) == pytest.approx((one.low, one.high), abs=1e-12, nan_ok=True)
    assert np.isnan(low[[0, 1, 4]]).all()
    assert units == 1 or low[2] == high[2] == 0.25
