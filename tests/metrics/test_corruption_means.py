"""Mean performance under corruption, by its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.designs.corruption import mean_performance, robustness


def test_every_corruption_counts_the_same_whatever_its_severities():
    assert mean_performance({("fog", 1): 0.4, ("fog", 2): 0.2, ("snow", 1): 0.1}) == pytest.approx(0.2)


def test_mean_and_relative_performance_with_paired_intervals():
    clean = np.linspace(0.4, 0.6, 101)
    cells = {("fog", 1): 0.25, ("snow", 3): 0.15}
    found = robustness(0.5, cells, clean, {("fog", 1): clean / 2, ("snow", 3): clean * 0.3})
    assert found.mpc.value == pytest.approx(0.2)
    assert found.rpc.value == pytest.approx(0.4)
    assert (found.mpc.low, found.mpc.high) == pytest.approx(tuple(np.quantile(0.4 * clean, [0.025, 0.975])))
    # The share is the same in all resamples, because they are paired.
    assert (found.rpc.low, found.rpc.high) == pytest.approx((0.4, 0.4))


def test_without_clean_performance_there_is_no_share():
    found = robustness(0.0, {("fog", 1): 0.0})
    assert found.mpc.value == 0
    assert math.isnan(found.rpc.value)
    assert math.isnan(found.mpc.low)
