"""Tests over data sets, against scipy, the table of Demsar (2006), enumeration of signs, and simulations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics.designs.data_sets import (
    mean_difference,
    nemenyi_critical_difference,
    rank_models,
    signed_rank_p_value,
)
from metrics.errors import InputError

NEMENYI = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""Demsar 2006, table 5 (a), level 0.05."""


@pytest.mark.parametrize("models", NEMENYI)
def test_critical_differences_are_those_of_the_paper(models):
    found = nemenyi_critical_difference(models, 10)
    assert found == pytest.approx(NEMENYI[models] * math.sqrt(models * (models + 1) / 60), rel=4e-4)


@settings(max_examples=40)
@given(st.integers(2, 8), st.integers(3, 5), st.integers(0, 999), st.booleans())
def test_friedman_and_ranks_are_those_of_scipy(data_sets, models, seed, ties):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (data_sets, models)) / 4 if ties else rng.random((data_sets, models))
    found = rank_models(values)
    assert np.allclose(found.ranks, [stats.rankdata(-row) for row in values])
    expected = stats.friedmanchisquare(*values.T).statistic if np.ptp(values, axis=1).any() else math.nan
    assert found.chi_square == pytest.approx(expected, nan_ok=True)
    assert 0 <= found.p_value <= 1


def test_the_p_value_is_that_of_an_analysis_of_variance_of_the_ranks():
    """Iman and Davenport 1980: their F is that of a two-way analysis of variance, data sets and models, of the ranks."""
    values = np.random.default_rng(3).integers(0, 5, (9, 4)) + np.array([0, 0.5, 1, 1.5])
    found = rank_models(values)
    ranks = np.array([stats.rankdata(-row) for row in values])
    of_models = 9 * ((ranks.mean(0) - ranks.mean()) ** 2).sum()
    residual = ((ranks - ranks.mean(0) - ranks.mean(1, keepdims=True) + ranks.mean()) ** 2).sum()
    assert found.p_value == pytest.approx(stats.f.sf((of_models / 3) / (residual / 24), 3, 24))


def test_the_critical_difference_of_the_example_of_the_paper():
    """Demsar 2006, section 3.2.2: 4 models on 14 data sets."""
    assert nemenyi_critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_models_are_in_one_group_exactly_if_their_ranks_are_near():
    values = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]] * 12)
    found = rank_models(values)
    assert found.p_value == 0
    assert 1 < found.critical_difference < 2
    assert found.groups == ((0, 1), (1, 2), (2, 3), (3, 4))
    equal = rank_models(np.ones((3, 3)))
    assert equal.groups == ((0, 1, 2),)
    assert equal.p_value == 1


def test_nan_and_single_models_are_refused():
    for values in ([[0.5], [0.6]], [[0.5, 0.6]], [[0.5, math.nan], [0.5, 0.6]]):
        with pytest.raises(InputError, match="expected at least 2 data sets and 2 models"):
            rank_models(values)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=8))
def test_signed_ranks_equal_the_enumeration_of_all_signs(differences):
    known = np.array([value for value in differences if value])
    ranks = stats.rankdata(np.abs(known)) if len(known) else np.zeros(0)
    half = ranks.sum() / 2
    observed = abs(ranks[known > 0].sum() - half) if len(known) else 0
    sums = [abs(np.dot(signs, ranks) - half) for signs in itertools.product([0, 1], repeat=len(known))]
    expected = np.mean([value >= observed - 1e-9 for value in sums])
    assert signed_rank_p_value(differences) == pytest.approx(expected)


@given(st.integers(3, 30), st.integers(0, 99))
def test_signed_ranks_equal_scipy_without_ties(count, seed):
    values = np.random.default_rng(seed).normal(0.3, 1, count)
    assert signed_rank_p_value(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_equal_errors_give_the_t_interval():
    delta = np.array([0.02, 0.05, -0.01, 0.04, 0.03])
    found = mean_difference(delta, np.full(5, 0.01))
    expected = stats.ttest_1samp(delta, 0.0)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.spread**2 == pytest.approx(delta.var(ddof=1) - 0.01**2)


def test_a_precise_data_set_counts_more_unless_data_sets_differ():
    near = mean_difference([0.00, 0.02], [0.001, 0.1])
    assert near.spread == 0
    assert near.mean == pytest.approx(0.02 * 1e2 / (1e6 + 1e2))
    apart = mean_difference([0.0, 0.5], [0.001, 0.1])
    assert apart.mean == pytest.approx(0.25, abs=0.01)
    assert math.isnan(mean_difference([0.1], [0.01]).low)
    assert math.isnan(near.new_low)
    # Equal models on all data sets
    zero = mean_difference([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert (zero.mean, zero.low, zero.high, zero.p_value) == (0, 0, 0, 1)


def test_intervals_cover_simulated_means_and_new_data_sets():
    """With D data sets whose precision differs fourfold: 400 experiments, three standard errors are 3.3 points."""
    rng = np.random.default_rng(0)
    for data_sets in (3, 6):
        mean, new = [], []
        for _ in range(400):
            se = rng.choice([0.005, 0.01, 0.02], data_sets)
            true = rng.normal(0.03, 0.02, data_sets + 1)
            found = mean_difference(true[:-1] + rng.normal(0, se), se)
            mean.append(found.low <= 0.03 <= found.high)
            new.append(found.new_low <= true[-1] <= found.new_high)
        assert np.mean(mean) == pytest.approx(0.95, abs=0.033)
        assert np.mean(new) > 0.88
