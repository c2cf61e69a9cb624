"""Objectives: measures, weighted sums of measures, and their directions."""

from __future__ import annotations

import math

import pytest

from bench.tune.objectives import parse_objectives
from metrics.errors import InputError
from metrics.tables import AnnotationTable, Catalog, DetectionTable


@pytest.fixture(scope="module")
def truth():
    catalog = Catalog.of(range(2), ("cat", "dog"), [(64, 64)] * 2)
    return AnnotationTable.of(catalog, [0, 1], [0, 1], [[8, 8, 16, 16], [4, 4, 40, 40]])


def test_a_perfect_detector_has_the_sum_of_the_weights(truth):
    objectives = parse_objectives(["0.7*ap + .3*ap50"], truth)
    found = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, [1.0, 1.0])
    assert objectives.values(objectives.numbers(truth, found)) == pytest.approx((1.0,))
    assert objectives.each[0].higher


def test_several_objectives_have_a_direction_each(truth):
    objectives = parse_objectives(["ap", "olrp"], truth)
    assert [objective.higher for objective in objectives.each] == [True, False]
    assert len(objectives.measures) == 2


def test_an_undefined_value_is_an_error_and_not_zero(truth):
    objectives = parse_objectives(["ap"], truth)
    with pytest.raises(InputError, match=r"ap: undefined \(NaN\)"):
        objectives.values({"ap": math.nan})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app", r"unknown measure 'app'; did you mean 'ap'"),
        ("ap + olrp", "have opposite directions"),
        ("ap +", "expected a measure or a sum"),
        ("ap ap50", "expected a measure or a sum"),
        ("0*ap", "expected a measure or a sum"),
        ("", "expected a measure or a sum"),
    ],
)
def test_an_invalid_objective_is_refused_with_the_reason(truth, text, message):
    with pytest.raises(InputError, match=message):
        parse_objectives([text], truth)
