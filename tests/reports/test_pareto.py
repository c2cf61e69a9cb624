"""The front, its area and the chance to be on it: against pairwise search, a grid of points, and known chances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.errors import InputError
from reports.analysis.pareto_front import hypervolume, pareto_front, reference_point, share_on_front

POINTS = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=8)


def arrays(points):
    latency, quality = np.array(points, dtype=np.float64).T
    return latency, quality


@given(POINTS)
def test_the_front_holds_the_models_that_none_dominates(points):
    wanted = [
        not any(a <= latency and q >= quality and (a, q) != (latency, quality) for a, q in points)
        for latency, quality in points
    ]
    assert pareto_front(*arrays(points)).tolist() == wanted


@given(POINTS)
def test_the_front_holds_the_records_of_quality_in_order_of_latency(points):
    latency, quality = arrays(points)
    best, records = -math.inf, set()
    for l, q in sorted(set(points), key=lambda point: (point[0], -point[1])):  # noqa: E741
        if q > best:
            best = q
            records.add((l, q))
    on = pareto_front(latency, quality)
    assert {point for point, is_on in zip(points, on, strict=True) if is_on} == records


def test_unknown_values_are_not_on_the_front_and_dominate_nothing():
    latency = np.array([10.0, math.nan, 5.0])
    quality = np.array([0.3, 0.9, math.nan])
    assert pareto_front(latency, quality).tolist() == [True, False, False]


@given(POINTS, st.integers(2, 9), st.integers(0, 7))
def test_the_hypervolume_is_the_dominated_area(points, last, floor):
    # Quality is whole and latency a power of e: the plane falls into unit cells, each covered or not.
    latency, quality = arrays(points)
    cells = sum(
        any(l <= x and q >= y + 1 for l, q in points)  # noqa: E741
        for x in range(last)
        for y in range(floor, 9)
    )
    assert hypervolume(np.exp(latency), quality, (math.exp(last), float(floor))) == pytest.approx(cells)


def test_a_dominated_model_adds_no_area():
    one = hypervolume(np.array([10.0]), np.array([0.4]), (100.0, 0.0))
    assert one == pytest.approx(0.4 * math.log(10))
    assert hypervolume(np.array([10.0, 20.0]), np.array([0.4, 0.3]), (100.0, 0.0)) == one
    assert hypervolume(np.array([200.0]), np.array([0.4]), (100.0, 0.0)) == 0


def test_a_latency_that_has_no_logarithm_is_refused():
    with pytest.raises(InputError, match="above 0"):
        hypervolume(np.array([0.0]), np.array([0.4]), (100.0, 0.0))


def test_the_share_on_the_front_is_that_of_the_replicates():
    # B is slower; it is on the front in the quarter of replicates in which it is also better.
    latency = np.array([[1.0, 2.0]] * 4)
    quality = np.array([[0.5, 0.6], [0.5, 0.4], [0.5, 0.45], [0.5, 0.1]])
    assert share_on_front(latency, quality).tolist() == [1.0, 0.25]


def test_equal_models_are_on_the_front_equally_often():
    rng = np.random.default_rng(0)
    latency, quality = rng.normal(10, 1, (4000, 2)), rng.normal(0.5, 0.01, (4000, 2))
    # One keeps the other off with chance 1/2 * 1/2.
    assert share_on_front(latency, quality) == pytest.approx([0.75, 0.75], abs=0.03)


@pytest.mark.parametrize(
    ("latency", "reference"),
    [([3.0, 42.0], 100.0), ([1000.0], 1000.0), ([0.4], 1.0), ([7.0, math.nan], 10.0), ([math.nan], 1.0)],
)
def test_the_reference_is_the_power_of_ten_above_all(latency, reference):
    assert reference_point(np.array(latency)) == (reference, 0.0)
