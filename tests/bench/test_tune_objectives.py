"""Objectives: measures, weighted sums of measures, and their directions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.tune.objectives import default_objective, parse_objectives
from bench.tune.predicted import Predicted
from metrics.errors import InputError
from metrics.mask_counts import MaskCounts
from metrics.match_rule import MatchRule
from metrics.resampling.weights import unit_weights
from metrics.tables import AnnotationTable, Catalog, DetectionTable


@pytest.fixture(scope="module")
def truth():
    catalog = Catalog.of(range(2), ("cat", "dog"), [(64, 64)] * 2)
    return AnnotationTable.of(catalog, [0, 1], [0, 1], [[8, 8, 16, 16], [4, 4, 40, 40]])


def test_a_perfect_detector_has_the_sum_of_the_weights(truth):
    objectives = parse_objectives(["0.7*ap + .3*ap50"], truth)
    found = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, [1.0, 1.0])
    assert objectives.values(objectives.numbers(truth, Predicted(found))) == pytest.approx((1.0,))
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


def masks_of(intersection, truth, predicted, pixels):
    arrays = [np.array(each, np.int64) for each in (intersection, truth, predicted)]
    return MaskCounts(("background", "cat", "dog"), *arrays, np.array(pixels, np.int64))


COUNTS = masks_of([[4, 2, 0], [6, 0, 1]], [[5, 4, 0], [6, 0, 3]], [[7, 2, 0], [8, 0, 1]], [9, 9])
"""Two images; IoU of the classes 10/16, 2/4 and 1/3, Dice 20/26, 4/6 and 2/4."""


def test_label_maps_are_measured_beside_boxes(truth):
    found = Predicted(DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, [1.0, 1.0]), COUNTS)
    objectives = parse_objectives(["miou", "2*mdice + ap"], truth, masks=True)
    miou, dice = (10 / 16 + 2 / 4 + 1 / 3) / 3, (20 / 26 + 4 / 6 + 2 / 4) / 3
    assert objectives.values(objectives.numbers(truth, found)) == pytest.approx((miou, 2 * dice + 1))
    assert objectives.mask_names == ("miou", "mdice")
    assert [each.measures_masks for each in objectives.each] == [True, False]


@pytest.mark.parametrize("text", ["miou", "0.5*miou + 0.5*pixel_accuracy"])
def test_an_objective_of_label_maps_is_resampled_by_its_definition(truth, text):
    random = np.random.default_rng(0)
    truths = random.integers(1, 50, (12, 3))
    inside = (random.random((2, 12, 3)) * truths).astype(np.int64)
    pixels = truths.sum(1)
    runs = {name: masks_of(each, truths, truths, pixels) for name, each in zip("ab", inside, strict=True)}
    objective = parse_objectives([text], truth, masks=True).each[0]
    no_boxes = DetectionTable.builder(truth.catalog).build()
    compared = objective.compare(
        {name: [Predicted(no_boxes, each)] for name, each in runs.items()}, truth, MatchRule(), 0
    )

    def value(weights, counts):
        both, of_truth = weights @ counts.intersection, weights @ counts.truth
        miou = np.mean(both / (2 * of_truth - both))
        return miou if text == "miou" else 0.5 * miou + 0.5 * both.sum() / (weights @ pixels)

    weights = unit_weights(np.arange(12), 1000, 0).astype(np.float64)
    for name, counts in runs.items():
        (standing,) = [row for row in compared.leaderboard if row.model == name]
        assert standing.value == pytest.approx(value(np.ones(12), counts))
        expected = [value(each, counts) for each in weights]
        np.testing.assert_allclose(compared.replicates[objective.text][name], expected)


def test_boxes_and_label_maps_in_one_sum_have_no_intervals(truth):
    objective = parse_objectives(["ap + miou"], truth, masks=True).each[0]
    with pytest.raises(InputError, match="miou: measures label maps, and cannot be resampled together"):
        objective.compare({}, truth, MatchRule(), 0)


def test_fault_142_label_maps_are_refused_where_there_are_none(truth):
    with pytest.raises(InputError, match="miou measures label maps, which need a variant for segmentation"):
        parse_objectives(["miou"], truth)


@pytest.mark.parametrize(
    ("given", "objective"),
    [
        ((True, True, False), "miou"),
        ((True, True, True), "ap"),  # label maps do not depend on post-processing
        ((True, False, False), "ap"),
        ((False, True, False), "ap"),
    ],
)
def test_the_default_is_the_measure_that_chooses_the_weights(given, objective):
    assert default_objective(*given) == objective
