"""Intervals hold the truth about 95 times in 100; `tests/benchmarks/interval_coverage.py` says so of many more test sets."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.interval_coverage import Simulation, Skill, coverage, simulate


@pytest.fixture(scope="module")
def equal() -> Simulation:
    """300 test sets on which two models are compared that are equal in the world."""
    return simulate(300, 100, (Skill(), Skill()), ("ap", "f1"), resamples=400, permutations=100)


def test_intervals_of_a_difference_hold_none_where_there_is_none(equal: Simulation) -> None:
    for measure in ("ap", "f1"):
        assert 0.92 <= coverage(equal.differences[measure], 0.0) <= 0.97


def test_intervals_of_a_value_hold_the_mean_over_test_sets(equal: Simulation) -> None:
    for measure in ("ap", "f1"):
        rows = equal.values[measure]
        assert 0.92 <= coverage(rows, float(rows[:, 1].mean())) <= 0.97


def test_equal_models_are_seldom_called_different(equal: Simulation) -> None:
    # 5 % of 300 are 15; more than 24 would be seen once in a hundred such simulations.
    assert equal.decisive.sum() <= 24
    assert np.count_nonzero(equal.swap_p_values <= 0.05) <= 24
    # p-values of the swap are spread evenly where there is nothing to find.
    assert np.mean(equal.swap_p_values) == pytest.approx(0.5, abs=0.06)


def test_a_clear_difference_is_called() -> None:
    skills = Skill(recall_log_odds=3.0), Skill(recall_log_odds=0.5)
    found = simulate(20, 80, skills, ("ap",), resamples=200, permutations=0)
    assert found.decisive.mean() >= 0.95
