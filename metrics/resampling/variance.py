"""Variance of a value over images and training seeds, and the degrees of freedom with which it is known.

The bootstrap estimates the variance over images. It cannot see what few images do not show: the AP of a class with objects
in two images has a variance estimated from two numbers, and with one image none at all. So the variance is divided into
parts (one per class of a mean over classes, one per model trained with several seeds), each part that rests on few images or
seeds borrows from the others, and Student's t takes the degrees of freedom of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRIOR_DOF = 2.0
"""Degrees of freedom that a part borrows from the other parts. Chosen by simulation: with 2, 95 to 98 % of the intervals of a
mean over classes of 200, 3 and 3 objects contain the true difference, with 3 it is 92 to 95 %
(`tests/benchmarks/interval_coverage.py`)."""


@dataclass(frozen=True, slots=True)
class Variance:
    """Variance of an estimate.

    Attributes:
        images: part of the images.
        seeds: part of the training seeds.
        dof: degrees of freedom of their sum; 0 where the variance is unknown.
    """

    images: float
    seeds: float
    dof: float

    @property
    def total(self) -> float:
        """Sum of both parts."""
        return self.images + self.seeds

    def half_width(self, confidence: float) -> float:
        """Half the width of Student's t interval."""
        from scipy.special import stdtrit

        return float(stdtrit(self.dof, (1 + confidence) / 2) * np.sqrt(self.total))


@dataclass(frozen=True, slots=True)
class SeedVariance:
    """Variance of a model's mean over S seeds.

    Attributes:
        learned: of what the seeds learned: added to the variance of the images.
        observed: of the values of the seeds on these images, with the part that the resamples of images already contain.
        contained: that part; `learned` is the difference, or 0 where this is larger. 0 for a model with one run, whose variance
            is assumed and not measured, so that it counts with all of its uncertainty.
        dof: degrees of freedom of `observed`; 0 where seeds were not measured.
    """

    learned: float
    observed: float
    contained: float
    dof: float

    def times(self, factor: float) -> SeedVariance:
        """Return the variance that this many times as many seeds would have."""
        parts = (self.learned / factor, self.observed / factor, self.contained / factor)
        return SeedVariance(*parts, factor * (self.dof + 1) - 1)


@dataclass(frozen=True, eq=False)
class ClassReplicates:
    """A value of each class, for a mean over classes.

    Attributes:
        estimates: (K,) on the original images; NaN where undefined.
        values: (B, K) on resampled images; NaN where a resample has no object of the class.
        units: (K,) resampling units (images or groups) with objects of the class.
    """

    estimates: Floats
    values: Floats
    units: NDArray[np.int64]

    def __sub__(self, other: ClassReplicates) -> ClassReplicates:
        return ClassReplicates(self.estimates - other.estimates, self.values - other.values, self.units)

    def beside(self, other: ClassReplicates) -> ClassReplicates:
        """Return values whose mean is the difference of the means, for means over different objects of the same images.

        The values of a class on different objects, such as two slices, are known from different numbers of units, so each
        stays a part of its own.
        """
        means = [(self, 1.0), (other, -1.0)]
        known = [~np.isnan(part.estimates) for part, _ in means]
        total = sum(int(one.sum()) for one in known)
        factors = [sign * total / max(int(one.sum()), 1) for (_, sign), one in zip(means, known, strict=True)]
        return ClassReplicates(
            np.concatenate([f * part.estimates for f, (part, _) in zip(factors, means, strict=True)]),
            np.concatenate([f * part.values for f, (part, _) in zip(factors, means, strict=True)], axis=1),
            np.concatenate([self.units, other.units]),
        )


def class_units(labels: NDArray[np.integer], units: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count the resampling units with objects of each class: (K,).

    Args:
        labels: (G,) class of each object.
        units: (G,) resampling unit of each object.
        classes: K.
    """
    cells = np.unique(units.astype(np.int64) * classes + labels)
    return np.bincount(cells % classes, minlength=classes)


def moderate(variances: Floats, dof: Floats, prior: float = PRIOR_DOF) -> tuple[Floats, Floats]:
    """Combine each variance with the average of the others, to which it is expected to be similar.

    Args:
        variances: (N, ...) estimated variances; those of one column are of comparable quantities.
        dof: of the same shape, degrees of freedom of each; 0: not estimated.
        prior: degrees of freedom to borrow, at most those that the others have.

    Returns:
        ``(d v + b o) / (d + b)`` with `o` the average of the others, weighted by their degrees of freedom, and `b` what is
        borrowed; and the degrees of freedom ``d + b``. A variance without any is 0 with 0 degrees of freedom.

    Source: Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression in microarray
    experiments", section 4 (moderated t-statistics), with fixed prior degrees of freedom.
    """
    weighted = np.where(dof > 0, dof * variances, 0.0)
    others = dof.sum(axis=0) - dof
    average = np.divide(weighted.sum(axis=0) - weighted, others, out=np.zeros(dof.shape), where=others > 0)
    borrowed = np.minimum(prior, others)
    known = dof + borrowed
    combined = np.divide(weighted + borrowed * average, known, out=np.zeros(dof.shape), where=known > 0)
    return combined, known


def variance_over_images(
    values: Floats, units: int, classes: ClassReplicates | None = None
) -> tuple[float, float]:
    """Estimate the variance of a value over images from bootstrap replicates.

    A bootstrap of n units underestimates the variance of a mean by (n - 1) / n, which is corrected. For a mean over classes
    this is done class by class: the variance of a class with objects in n_c units, times n_c, is a variance per unit with
    n_c - 1 degrees of freedom, which is moderated by those of the other classes. A class without an object in a resample has
    its original value there; what is shared by all classes (difficult images) is added unchanged.

    Args:
        values: (B,) replicates without NaN, for a value that is not a mean over classes.
        units: number of resampling units.
        classes: for a mean over classes.

    Returns:
        The variance, and its degrees of freedom by Welch and Satterthwaite, at most ``units - 1``; 0 where it is unknown.

    Source: Hesterberg 2015, "What teachers should know about the bootstrap", section 4.3 (narrowness bias); Satterthwaite
    1946, "An approximate distribution of estimates of variance components".
    """
    if classes is None:
        return (float(values.var(ddof=1)) * units / (units - 1), units - 1.0) if units > 1 else (0.0, 0.0)
    defined = ~np.isnan(classes.estimates)
    estimates, replicates = classes.estimates[defined], classes.values[:, defined]
    n = classes.units[defined].astype(np.float64)
    missing = np.isnan(replicates)
    replicates = np.where(missing, estimates, replicates)
    present = np.count_nonzero(~missing, axis=0)
    mean = np.where(missing, 0.0, replicates).sum(axis=0) / np.maximum(present, 1)
    squares = np.where(missing, 0.0, (replicates - mean) ** 2).sum(axis=0)
    own = squares / np.maximum(present - 1, 1)
    dof = np.maximum(n - 1, 0.0)
    per_unit, known = moderate(own * n * n / np.maximum(n - 1, 1), dof)
    shares = 1 / len(estimates) ** 2
    parts = shares * per_unit / np.maximum(n, 1)
    shared = float(replicates.mean(axis=1).var(ddof=1)) - shares * float(own.sum())
    total = max(shared + float(parts.sum()), 0.0)
    if not (known > 0).all():
        return 0.0, 0.0
    return total, min(degrees_of_freedom(total, parts, known), units - 1.0)


def degrees_of_freedom(total: float, parts: Floats, dof: Floats) -> float:
    """Degrees of freedom of a sum of independent estimates of variance: ``total^2 / sum(v^2 / d)``, at least 1.

    Args:
        total: the sum; it may contain more than the parts.
        parts: (N,) variances.
        dof: (N,) degrees of freedom of each; positive.

    Source: Welch 1947, "The generalization of 'Student's' problem when several different population variances are involved".
    """
    uncertain = float(np.sum(parts**2 / dof))
    return max(total**2 / uncertain, 1.0) if uncertain > 0 else float("inf")


def excess_variance(
    observed: float | Floats, contained: float | Floats, dof: float | Floats
) -> NDArray[np.float64]:
    """Return the variance of an estimated variance minus a known part, where a negative difference counts as 0.

    It is that of `observed` where nothing is contained, ``2 * observed^2 / dof``, and nearly 0 where much more is contained
    than observed: the difference is then 0 in nearly all samples.

    Args:
        observed: estimates, each with a scaled chi-squared distribution.
        contained: the known part of each.
        dof: degrees of freedom of each estimate; positive.
    """
    from scipy.special import gammaincc

    positive = np.asarray(observed) > 0
    shape, scale = np.asarray(dof) / 2, 2 * np.where(positive, observed, 1.0) / dof
    limit = contained / scale
    above = [gammaincc(shape + power, limit) for power in range(3)]
    first = observed * above[1] - contained * above[0]
    second = (
        shape * (shape + 1) * scale**2 * above[2]
        - 2 * contained * observed * above[1]
        + contained**2 * above[0]
    )
    return np.where(positive, np.maximum(second - first**2, 0.0), 0.0)


def add_seeds(images: tuple[float, float], seeds: Sequence[SeedVariance]) -> Variance:
    """Add the variances over images and over the seeds of the models involved.

    Moderated variances of seeds are estimated from the same trainings, so their errors are added as if they were equal. What the
    seeds learned is at least 0: where the resamples of images explain all of the differences between seeds, it is 0 in most data
    sets, and nearly known.

    Args:
        images: variance and degrees of freedom from `variance_over_images`.
        seeds: of each model involved.
    """
    variance, dof = images
    measured = [part for part in seeds if part.dof > 0]
    learned = sum(part.learned for part in measured)
    if dof <= 0 or not measured:
        return Variance(variance, learned, dof)
    error = sum(part.observed / np.sqrt(part.dof) for part in measured)
    uncertain = variance**2 / dof
    if error > 0:
        observed, contained = (
            sum(part.observed for part in measured),
            sum(part.contained for part in measured),
        )
        uncertain += float(excess_variance(observed, contained, (observed / error) ** 2)) / 2
    total = variance + learned
    return Variance(variance, learned, max(total**2 / uncertain, 1.0) if uncertain > 0 else dof)
