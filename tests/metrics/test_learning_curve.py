"""Learning curves: known laws are recovered, intervals hold in simulations, and what the data do not support is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from metrics.designs.learning_curve import REACH, PowerLaw, fit_power_law, learning_curve
from metrics.errors import InputError
from tests.benchmarks.learning_curve_coverage import WORLDS, covered, draw_curve

SIZES = np.array([50.0, 100, 200, 400, 800])


@settings(max_examples=30)
@given(st.floats(0.5, 0.99), st.floats(0.2, 0.45), st.floats(0.15, 1.5))
def test_a_known_law_is_recovered(a, drop, c):
    law = PowerLaw(a, drop * 50**c, c)
    found = fit_power_law(SIZES, law.at(SIZES))
    assert (found.a, found.c) == pytest.approx((a, c), rel=1e-3)
    assert found.at(3200) == pytest.approx(law.at(3200), abs=1e-5)
    level = float(law.at(1234))
    assert found.images_until(level) == pytest.approx(1234, rel=1e-3)


def test_noisy_values_are_fitted_as_by_scipy():
    law = PowerLaw(0.9, 2.5, 0.5)
    values = law.at(SIZES) + np.array([0.01, -0.012, 0.004, 0.006, -0.003])
    expected, _ = curve_fit(lambda n, a, b, c: a - b * n**-c, SIZES, values, (0.8, 2, 0.4))
    found = fit_power_law(SIZES, values)
    assert (found.a, found.b, found.c) == pytest.approx(tuple(expected), rel=1e-3)


def test_bounds_hold():
    above = fit_power_law(SIZES, [0.7, 0.8, 0.9, 0.98, 1.0])
    assert above.a <= 1
    falling = fit_power_law(SIZES, [0.6, 0.5, 0.5, 0.4, 0.4])
    assert falling.b == pytest.approx(0, abs=1e-6)
    assert falling.at(50) == pytest.approx(0.48)
    assert math.isinf(PowerLaw(0.8, 1, 0.5).images_until(0.8))


def replicates_of(values: np.ndarray, noise: float, count: int = 100) -> np.ndarray:
    return values + np.random.default_rng(0).normal(0, noise, (count, len(values)))


def test_nothing_is_said_beyond_the_reach():
    values = PowerLaw(0.9, 2.5, 0.5).at(SIZES)
    curve = learning_curve(SIZES, values, replicates_of(values, 0.002), seeds_vary=True)
    assert curve.unsupported is None
    assert curve.limit == REACH * 800
    assert curve.at(3200).low < 0.9 - 2.5 * 3200**-0.5 < curve.at(3200).high
    with pytest.raises(InputError, match=r"LearningCurve.at: 3300 images are more than the limit of 3200"):
        curve.at(3300)
    beyond = float(PowerLaw(0.9, 2.5, 0.5).at(10_000))
    assert math.isinf(curve.images_until(beyond).value)
    gain = curve.gain(800, 1600)
    assert gain.value == pytest.approx(2.5 * (800**-0.5 - 1600**-0.5), rel=0.01)
    assert gain.low < gain.value < gain.high


@pytest.mark.parametrize(
    ("sizes", "values", "vary", "reason"),
    [
        ([50, 100, 200], [0.5, 0.6, 0.65], True, "few_sizes"),
        ([100, 150, 200, 300], [0.5, 0.55, 0.6, 0.62], True, "narrow_range"),
        ([50, 100, 200, 400], [0.5, 0.6, 0.65, 0.68], False, "one_seed"),
        ([50, 100, 200, 400], [0.5, 0.7, 0.5, 0.7], True, "misfit"),
        ([50, 100, 200, 400], [0.5, 0.6, 0.65, 0.68], True, None),
    ],
)
def test_curves_that_the_data_do_not_support_are_not_extrapolated(sizes, values, vary, reason):
    curve = learning_curve(sizes, values, replicates_of(np.array(values), 0.01), vary)
    assert curve.unsupported == reason
    assert curve.limit == sizes[-1] * (1 if reason else REACH)


def test_two_sizes_are_no_curve():
    with pytest.raises(InputError, match="2 different numbers of images, but a curve has 3 parameters"):
        fit_power_law([50, 100], [0.5, 0.6])


@pytest.mark.parametrize("world", [WORLDS[1], WORLDS[5]], ids=lambda world: world.name)
def test_intervals_cover_simulated_truth(world):
    """The benchmark finds 90 to 95 % in many experiments; three standard errors of sixty are ten percentage points."""
    rng = np.random.default_rng(0)
    found = [covered(draw_curve(rng, world, replicates=80), world) for _ in range(60)]
    for name in ("N", "2N", "gain", "until"):
        assert np.nanmean([each[name] for each in found]) > 0.8
    assert np.nanmean([each["promised"] for each in found]) <= 0.05
    assert np.mean([np.isnan(each["2N"]) for each in found]) < 0.2
