"""Variances of parts that rest on few images or seeds, against hand counts, scipy and simulated samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from metrics.resampling.variance import (
    PRIOR_DOF,
    ClassReplicates,
    SeedVariance,
    Variance,
    add_seeds,
    degrees_of_freedom,
    excess_variance,
    moderate,
    variance_over_images,
)


def test_moderated_variances_by_hand() -> None:
    # The first borrows 3 degrees of freedom from the second, which has 4: (2 * 1 + 3 * 3) / 5.
    # The second borrows all 2 of the first: (4 * 3 + 2 * 1) / 6.
    found, dof = moderate(np.array([1.0, 3.0]), np.array([2.0, 4.0]), prior=3.0)
    assert_allclose(found, [11 / 5, 14 / 6])
    assert_allclose(dof, [5, 6])


def test_a_variance_that_was_not_estimated_is_that_of_the_others() -> None:
    found, dof = moderate(np.array([np.nan, 4.0, 1.0]), np.array([0.0, 5.0, 10.0]), prior=3.0)
    assert (found[0], dof[0]) == (pytest.approx((5 * 4 + 10 * 1) / 15), 3)
    alone, none = moderate(np.array([np.nan]), np.array([0.0]))
    assert (alone[0], none[0]) == (0, 0)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 50)), min_size=1, max_size=6))
def test_moderated_variances_are_between_the_smallest_and_the_largest(given: list[tuple[float, int]]) -> None:
    variances, dof = np.array(given, np.float64).T
    found, known = moderate(variances, dof)
    estimated = variances[dof > 0]
    if len(estimated):
        assert (estimated.min() - 1e-9 <= found).all()
        assert (found <= estimated.max() + 1e-9).all()
    assert (known >= dof).all()
    assert (known <= dof.sum()).all()


def test_degrees_of_freedom_are_those_of_welchs_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 4), rng.normal(0, 3, 9)
    parts = np.array([a.var(ddof=1) / 4, b.var(ddof=1) / 9])
    theirs = stats.ttest_ind(a, b, equal_var=False).df
    assert degrees_of_freedom(parts.sum(), parts, np.array([3.0, 8.0])) == pytest.approx(theirs)


def class_replicates(samples: list[np.ndarray], resamples: int, seed: int = 0) -> ClassReplicates:
    """Classes whose value is the mean of one number per image, each on images of its own."""
    rng = np.random.default_rng(seed)
    total = sum(len(sample) for sample in samples)
    weights = rng.multinomial(total, np.full(total, 1 / total), resamples).astype(float)
    columns, first = [], 0
    for sample in samples:
        part = weights[:, first : first + len(sample)]
        with np.errstate(invalid="ignore"):
            columns.append(part @ sample / part.sum(axis=1))
        first += len(sample)
    estimates = np.array([sample.mean() for sample in samples])
    return ClassReplicates(
        estimates, np.stack(columns, axis=1), np.array([len(sample) for sample in samples])
    )


def test_the_variance_of_a_mean_over_classes_is_that_of_its_parts() -> None:
    rng = np.random.default_rng(1)
    samples = [rng.normal(0, 1, 200), rng.normal(0, 1, 100), rng.normal(0, 1, 150)]
    classes = class_replicates(samples, 20_000)
    variance, dof = variance_over_images(classes.values.mean(axis=1), 450, classes)
    parts = np.array([sample.var(ddof=1) / len(sample) for sample in samples]) / 9
    assert variance == pytest.approx(parts.sum(), rel=0.03)
    assert dof == pytest.approx(
        degrees_of_freedom(parts.sum(), parts, np.array([199, 99, 149]) + PRIOR_DOF), rel=0.05
    )


def test_a_class_in_one_image_has_the_variance_of_an_image_of_the_other_classes() -> None:
    rng = np.random.default_rng(2)
    samples = [rng.normal(0, 1, 100), rng.normal(0, 1, 1)]
    classes = class_replicates(samples, 5000)
    variance, dof = variance_over_images(classes.values.mean(axis=1), 101, classes)
    per_image = samples[0].var(ddof=1)
    assert variance == pytest.approx((per_image / 100 + per_image) / 4, rel=0.06)
    assert dof == pytest.approx(PRIOR_DOF, abs=0.2)  # what the rare class borrows


def test_intervals_of_means_over_rare_classes_cover() -> None:
    # Classes of about 100, 3 and 3 images, as independent normal numbers; the plain bootstrap's t interval is too narrow.
    rng = np.random.default_rng(3)
    held, plain = [], []
    for number in range(400):
        counts = 1 + rng.poisson([100, 2, 2])
        classes = class_replicates([rng.normal(0, 1, count) for count in counts], 200, number)
        mean = classes.values[~np.isnan(classes.values).any(axis=1)].mean(axis=1)
        variance, dof = variance_over_images(mean, int(counts.sum()), classes)
        estimate = classes.estimates.mean()
        held.append(abs(estimate) <= stats.t.ppf(0.975, dof) * np.sqrt(variance))
        plain.append(abs(estimate) <= 1.97 * mean.std(ddof=1))
    # The standard error of 400 cases is 1.1%; 4 of them are a false alarm in 1 of 10,000 runs.
    assert 0.95 - 0.045 <= np.mean(held) <= 0.95 + 0.045
    assert np.mean(plain) < 0.87


def test_a_difference_of_means_over_different_objects_has_the_variance_of_both() -> None:
    rng = np.random.default_rng(4)
    first, second = ([rng.normal(0, 1, count) for count in counts] for counts in ([150, 60, 90], [80, 120]))
    one, other = class_replicates(first, 20_000, 1), class_replicates(second, 20_000, 2)
    absent = ClassReplicates(
        np.append(other.estimates, np.nan),
        np.c_[other.values, np.full(20_000, np.nan)],
        np.append(other.units, 0),
    )
    both = one.beside(absent)
    delta = one.estimates.mean() - other.estimates.mean()
    assert np.nanmean(both.estimates) == pytest.approx(delta)
    replicates = one.values.mean(axis=1) - other.values.mean(axis=1)
    assert np.nanmean(both.values, axis=1) == pytest.approx(replicates)
    variance, _ = variance_over_images(replicates, 500, both)
    parts = [sum(sample.var(ddof=1) / len(sample) for sample in of) / len(of) ** 2 for of in (first, second)]
    assert variance == pytest.approx(sum(parts), rel=0.03)


def test_a_class_without_objects_and_a_single_unit_do_not_count() -> None:
    classes = class_replicates([np.arange(10.0), np.arange(20.0)], 500)
    more = ClassReplicates(
        np.append(classes.estimates, np.nan),
        np.column_stack([classes.values, np.full(500, np.nan)]),
        np.append(classes.units, 0),
    )
    values = classes.values.mean(axis=1)
    assert variance_over_images(values, 30, more) == variance_over_images(values, 30, classes)
    assert variance_over_images(np.ones(9), 1) == (0, 0)
    alone = ClassReplicates(np.array([0.5]), np.full((9, 1), 0.5), np.array([1]))
    assert variance_over_images(np.full(9, 0.5), 4, alone) == (0, 0)


def test_seeds_add_their_variance_and_their_uncertainty() -> None:
    found = add_seeds((4.0, 50.0), [SeedVariance(1.0, 2.0, 0.0, 2.0), SeedVariance(0.5, 1.0, 0.0, 2.0)])
    assert (found.images, found.seeds, found.total) == (4.0, 1.5, 5.5)
    assert found.dof == pytest.approx(5.5**2 / (16 / 50 + (2 / np.sqrt(2) + 1 / np.sqrt(2)) ** 2))
    assert add_seeds((4.0, 50.0), [SeedVariance(0.0, 0.0, 0.0, 0.0)]) == Variance(4.0, 0.0, 50.0)
    assert add_seeds((0.0, 0.0), [SeedVariance(1.0, 2.0, 1.0, 2.0)]).dof == 0


@pytest.mark.parametrize(
    ("contained", "dof"), [(0.0, 2.0), (0.4, 2.0), (1.0, 4.0), (2.5, 4.0), (0.9, 8.0), (9.0, 6.0)]
)
def test_the_variance_of_an_excess_is_that_of_simulated_excesses(contained: float, dof: float) -> None:
    drawn = 1.3 * np.random.default_rng(0).chisquare(dof, 400_000) / dof
    simulated = np.maximum(drawn - contained, 0).var()
    assert excess_variance(1.3, contained, dof) == pytest.approx(simulated, rel=0.02, abs=2e-4)


def test_seeds_that_vary_as_little_as_their_images_leave_the_degrees_of_freedom_of_the_images() -> None:
    one = SeedVariance(0.0, 0.1, 1.0, 2.0)
    assert add_seeds((1.0, 60.0), [one, one]).dof == pytest.approx(60, rel=1e-3)
    # Seeds that explain nearly everything: Student's t with equal variances.
    one = SeedVariance(10.0, 10.0, 0.0, 4.0)
    assert add_seeds((1e-6, 60.0), [one, one]).dof == pytest.approx(4, rel=1e-3)
