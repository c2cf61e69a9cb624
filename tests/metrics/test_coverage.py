"""Intervals cover the true value in about 95% of cases; `tests/benchmarks/interval_coverage.py` uses many more test sets."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.interval_coverage import Simulation, Skill, coverage, simulate


@pytest.fixture(scope="module")
def equal() -> Simulation:
    """Comparison of two equally good models on 300 test sets."""
    return simulate(300, 100, (Skill(), Skill()), ("ap", "f1"), resamples=400, permutations=100)


def test_intervals_of_the_difference_of_equal_models_cover_0(equal: Simulation) -> None:
    for measure in ("ap", "f1"):
        assert 0.92 <= coverage(equal.differences[measure], 0.0) <= 0.97


def test_intervals_of_a_value_cover_the_mean_over_test_sets(equal: Simulation) -> None:
    for measure in ("ap", "f1"):
        rows = equal.values[measure]
        assert 0.92 <= coverage(rows, float(rows[:, 1].mean())) <= 0.97


def test_equal_models_are_seldom_called_different(equal: Simulation) -> None:
    # 5% of 300 are 15; more than 24 occur in 1% of such simulations.
    assert equal.decisive.sum() <= 24
    assert np.count_nonzero(equal.swap_p_values <= 0.05) <= 24
    # p-values of the permutation test are uniform for equal models.
    assert np.mean(equal.swap_p_values) == pytest.approx(0.5, abs=0.06)


def test_a_clear_difference_is_decisive() -> None:
    skills = Skill(recall_log_odds=3.0), Skill(recall_log_odds=0.5)
    found = simulate(20, 80, skills, ("ap",), resamples=200, permutations=0)
    assert found.decisive.mean() >= 0.95
