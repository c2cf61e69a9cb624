"""Class weights: closed forms, and data sets without objects of some classes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from raw_outputs import DENSE

from detectors.losses.class_weights import ClassWeightsConfig, class_weights
from detectors.registry import VARIANTS
from metrics.errors import InputError

NAMES = ["red", "white", "plate"]


def of(counts, **settings):
    weights = class_weights(ClassWeightsConfig(**settings), counts, NAMES)
    return None if weights is None else weights.tolist()


def test_by_default_there_are_none():
    assert of([1, 2, 3]) is None


def test_inverse_is_the_reciprocal_with_mean_1():
    assert of([100, 50, 10], rule="inverse") == pytest.approx([3 / 13, 6 / 13, 30 / 13])


def test_sqrt_inverse_is_its_root_with_mean_1():
    assert of([100, 25, 4], rule="sqrt_inverse") == pytest.approx(
        [0.1 / 0.8 * 3, 0.2 / 0.8 * 3, 0.5 / 0.8 * 3]
    )


def test_effective_number_of_two_samples_is_1_and_beta():
    """E_2 = 1 + beta, E_1 = 1 (Cui et al. 2019, section 3.2); a class of 1 weighs (1 + beta) times one of 2."""
    one, two, _ = of([1, 2, 2], rule="effective", beta=0.5)
    assert one / two == pytest.approx(1.5)


@given(st.lists(st.integers(1, 100_000), min_size=3, max_size=3))
def test_effective_numbers_lie_between_equal_and_inverse(counts):
    assert of(counts, rule="effective", beta=0.0) == pytest.approx([1, 1, 1])
    assert of(counts, rule="effective", beta=1 - 1e-9) == pytest.approx(of(counts, rule="inverse"), rel=1e-3)
    for rule in ("inverse", "sqrt_inverse", "effective"):
        weights = of(counts, rule=rule)
        assert sum(weights) == pytest.approx(3)
        assert [w for _, w in sorted(zip(counts, weights, strict=True))] == pytest.approx(
            sorted(weights, reverse=True)
        )


@pytest.mark.parametrize("rule", ["inverse", "sqrt_inverse", "effective"])
def test_a_class_without_objects_weighs_1_and_leaves_the_others_alone(rule):
    assert of([5, 0, 5], rule=rule) == pytest.approx([1, 1, 1])
    assert of([0, 0, 0], rule=rule) == [1, 1, 1]


def test_single_classes_are_set_by_name():
    assert of([1, 2, 3], each={"white": 2.5}) == [1, 2.5, 1]
    assert of([10, 10, 10], rule="inverse", each={"plate": 0}) == pytest.approx([1, 1, 0])


def test_a_weight_for_an_unknown_class_is_an_error():
    with pytest.raises(
        InputError, match=r"class_weights.each: the data has no class 'plates'; did you mean 'plate'"
    ):
        of([1, 2, 3], each={"plates": 2.0})


def test_a_negative_weight_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        ClassWeightsConfig(each={"plate": -1})


@pytest.mark.parametrize("name", DENSE)
def test_every_dense_variant_passes_them_to_its_class_loss(name):
    variant = VARIANTS[name]
    detector = variant.build(
        variant.config.model_validate(
            {"class_weights": {"rule": "inverse"}, "backbone": {"base_channel": 4}}
        ),
        3,
    )
    assert detector.supervision.class_loss.weights is None
    detector.weigh_classes([100, 50, 10], NAMES)
    assert detector.supervision.class_loss.weights.tolist() == pytest.approx([3 / 13, 6 / 13, 30 / 13])
