"""Intervals of means over folds, against scipy's t test and simulated folds that share training images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metrics.designs.folds import fold_interval
from tests.benchmarks.fold_coverage import coverage, draw_folds

VALUES = st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=2, max_size=10)


@given(VALUES.filter(lambda values: len(set(values)) > 1))
def test_without_correction_it_is_the_t_test(values):
    found = fold_interval(values, 0.0)
    expected = stats.ttest_1samp(values, 0.0)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p_value == pytest.approx(expected.pvalue)


@given(VALUES, st.floats(0, 2))
def test_the_correction_adds_the_share_to_the_variance(values, share):
    naive, corrected = fold_interval(values, 0.0), fold_interval(values, share)
    assert corrected.mean == naive.mean == pytest.approx(np.mean(values))
    assert corrected.se**2 == pytest.approx(naive.se**2 * (1 + share * len(values)), abs=1e-15)
    if abs(corrected.mean) > 1e-6 and corrected.se > 0:
        assert corrected.excludes_zero == (corrected.p_value < 0.05)


def test_undefined_folds_are_left_out_and_one_fold_has_no_interval():
    assert fold_interval([0.2, math.nan, 0.4], 0.25) == fold_interval([0.2, 0.4], 0.25)
    single = fold_interval([0.2], 0.25)
    assert single.mean == 0.2
    assert math.isnan(single.low)
    assert not single.excludes_zero
    assert fold_interval([0.1] * 5, 0.25).p_value == 0
    assert fold_interval([0.0] * 5, 0.25).p_value == 1


def test_simulated_folds_have_unit_variance_and_share_training_images():
    values = draw_folds(np.random.default_rng(0), 4000, 5, 20, 0.5)
    assert values.var() == pytest.approx(1, abs=0.05)
    correlation = np.corrcoef(values.T)[np.triu_indices(5, 1)].mean()
    # Two folds share 3 of 4 parts of their training images.
    assert correlation == pytest.approx(0.5 * 3 / 4, abs=0.04)


def test_the_corrected_interval_covers_where_the_naive_one_does_not():
    values = draw_folds(np.random.default_rng(1), 4000, 5, 20, 0.25)
    assert coverage(values, 0.25) == pytest.approx(0.95, abs=0.015)
    assert coverage(values, 0.0) < 0.9
    for of_experiment in values[:20]:
        covered = not fold_interval(of_experiment, 0.25).excludes_zero
        assert covered == bool(coverage(of_experiment[None], 0.25))
