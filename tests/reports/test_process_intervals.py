"""Intervals over processes: closed forms of SciPy, draws that agree with them, and their rates on simulated timings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel

from reports.analysis.process_intervals import geometric_mean, mean_ratio, mean_replicates
from tests.benchmarks.timing_intervals import World, simulate, worlds

values = st.lists(st.floats(0.5, 2000), min_size=2, max_size=8)


@given(values, st.data())
def test_a_paired_ratio_is_students_t_of_the_differences(ours, data):
    theirs = data.draw(st.lists(st.floats(0.5, 2000), min_size=len(ours), max_size=len(ours)))
    a, b = np.log(ours), np.log(theirs)
    got = mean_ratio(np.array(ours), np.array(theirs), paired=True)
    if np.ptp(a - b) > 1e-6:
        reference = ttest_rel(a, b).confidence_interval()
        assert np.log([got.low, got.high]) == pytest.approx([reference.low, reference.high], abs=1e-6)
    assert got.value == pytest.approx(np.exp(a.mean() - b.mean()))


@given(values, values)
def test_a_ratio_of_different_processes_is_welchs_t(ours, theirs):
    a, b = np.log(ours), np.log(theirs)
    got = mean_ratio(np.array(ours), np.array(theirs), paired=False)
    if min(np.ptp(a), np.ptp(b)) > 1e-6:  # SciPy warns of equal values
        reference = ttest_ind(a, b, equal_var=False).confidence_interval()
        assert np.log([got.low, got.high]) == pytest.approx([reference.low, reference.high], abs=1e-6)


def test_joint_intervals_of_several_pairs_are_wider_by_bonferroni():
    a, b = np.exp([0.1, 0.2, 0.4]), np.exp([0.0, 0.2, 0.1])
    got = mean_ratio(a, b, paired=True, comparisons=10)
    reference = ttest_rel(np.log(a), np.log(b)).confidence_interval(1 - 0.05 / 10)
    assert np.log([got.low, got.high]) == pytest.approx([reference.low, reference.high])


def test_a_single_process_has_no_limits():
    one, several = np.array([8.0]), np.array([2.0, 2.0])
    assert geometric_mean(one) == (8.0, None, None)
    assert mean_ratio(one, several, paired=False) == (pytest.approx(4.0), None, None)


def test_equal_processes_have_intervals_of_no_width():
    assert mean_ratio(np.full(3, 8.0), np.full(4, 2.0), paired=False) == pytest.approx((4.0, 4.0, 4.0))


def test_draws_have_the_quantiles_of_the_intervals_of_each_model_and_each_pair():
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 0.05, 4)
    columns = [np.exp(level + shared + rng.normal(0, 0.02, 4)) for level in (2.0, 2.1, 2.3)]
    draws = mean_replicates(columns, 400_000, [1])
    for at, column in enumerate(columns):
        exact = geometric_mean(column)
        width = np.log(exact.high / exact.low)
        got = np.quantile(draws[:, at], [0.025, 0.975])
        assert got == pytest.approx(np.log([exact.low, exact.high]), abs=0.02 * width)
    for one, other in ((0, 1), (2, 0)):
        exact = mean_ratio(columns[one], columns[other], paired=True)
        width = np.log(exact.high / exact.low)
        got = np.quantile(draws[:, one] - draws[:, other], [0.025, 0.975])
        assert got == pytest.approx(np.log([exact.low, exact.high]), abs=0.02 * width)


@pytest.mark.parametrize(("models", "processes"), [(2, 2), (2, 3), (2, 5), (5, 3)])
def test_equally_fast_models_are_rarely_called_different(models, processes):
    sets = 300
    result = simulate(World(models, processes, 0.02, passes=60), sets)
    # Two-sided rates are at most 5 %; 9.2 % of 300 are exceeded in one of 1,000 simulations of 5 %.
    assert result.different < 0.092
    assert 0.91 < result.p50 < 0.985
    assert 0.91 < result.rate < 0.985


def test_more_processes_detect_smaller_differences():
    three, five, ten = (simulate(World(2, count, 0.02, passes=60), 80).detectable for count in (3, 5, 10))
    assert three > 1.4 * five > 1.4 * 1.2 * ten


def test_the_grid_has_every_number_of_processes_and_models_and_every_spread():
    assert len(set(worlds())) == 2 * 4 * 3
