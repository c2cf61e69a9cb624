"""Percentiles by order statistics: against the binomial law, published sizes and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from metrics.errors import InputError
from reports.analysis.order_statistics import interval_ranks, least_count, quantile


@pytest.mark.parametrize(("p", "least"), [(0.5, 6), (0.9, 36), (0.99, 368), (0.999, 3688)])
def test_least_counts_equal_the_published_values(p, least):
    assert least_count(p) == least
    assert interval_ranks(least, p).high == least
    assert interval_ranks(least - 1, p).high is None


@given(st.integers(1, 800), st.floats(0.02, 0.99), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_has_its_nominal_coverage(n, p, confidence):
    low, high = interval_ranks(n, p, confidence)
    # The quantile lies above the l-th value where at least l of n are below it, and below the u-th where fewer than u.
    below_low = 0.0 if low is None else float(binom.cdf(low - 1, n, p))
    above_high = 0.0 if high is None else float(binom.sf(high - 1, n, p))
    assert below_low <= (1 - confidence) / 2 + 1e-12
    assert above_high <= (1 - confidence) / 2 + 1e-12
    assert 1 - below_low - above_high >= confidence - 1e-12
    if low is not None:  # one rank nearer would promise too much
        assert binom.cdf(low, n, p) > (1 - confidence) / 2 - 1e-12


def test_the_median_of_nine_lies_between_the_second_and_the_eighth():
    # Sums of binomial coefficients: 1 + 9 = 10 of 512 below, as many above; the next rank would leave out 46.
    assert interval_ranks(9, 0.5) == (2, 8)


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_simulated_intervals_cover_the_quantile(p):
    rng = np.random.default_rng(3)
    n, times = 60, 4000
    draws = np.sort(rng.lognormal(size=(times, n)), axis=1)
    truth = math.exp(
        math.sqrt(2) * {0.5: 0.0, 0.9: 0.9061938024368232}[p]
    )  # the inverse error function of 2p - 1
    low, high = interval_ranks(n, p)
    assert low is not None
    assert high is not None
    held = float(((draws[:, low - 1] <= truth) & (truth <= draws[:, high - 1])).mean())
    exact = float(binom.cdf(high - 1, n, p) - binom.cdf(low - 1, n, p))
    assert exact >= 0.95
    assert held == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / times))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 100))
def test_the_quantile_is_the_least_value_that_the_share_does_not_exceed(values, percent):
    got = quantile(np.array(values, dtype=np.float64), percent / 100)
    enough = [value for value in values if 100 * sum(v <= value for v in values) >= percent * len(values)]
    assert got == min(enough)


def test_the_quantile_of_no_values_is_nan():
    assert math.isnan(quantile(np.zeros(0), 0.5))


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, math.nan])
def test_shares_outside_0_and_1_are_refused(p):
    with pytest.raises(InputError, match="between 0 and 1"):
        interval_ranks(10, p)
