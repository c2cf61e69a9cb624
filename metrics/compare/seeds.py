"""Two sources of variance: the images of the test set, and the seed that a model was trained with.

A model trained once is a checkpoint: its intervals generalize to other images. A model trained with several seeds is a
training recipe: its intervals generalize to other images and other seeds.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.resampling.variance import SeedVariance, moderate

Floats = NDArray[np.float64]


def standard_shifts(model: str, resamples: int, seed: int) -> Floats:
    """Draw the shift of a model due to its seeds in each resample, in standard errors.

    A normal distribution instead of the S seeds themselves: two seeds drawn with replacement have three possible means. That
    the variance of few seeds is poorly known is in the degrees of freedom of the interval.

    Args:
        model: its name; each model has a random stream that does not depend on the other models.
        resamples: B.
        seed: of the random number generator.

    Returns:
        (B,) standard normal.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 2, zlib.crc32(model.encode())]))
    return rng.standard_normal(resamples)


def seed_variances(estimates: Sequence[Floats], values: Sequence[Floats]) -> list[SeedVariance]:
    """Estimate the variance of each model's mean over its seeds.

    Seeds differ for two reasons: what they learned, and which of these images suit them. The resamples of images contain the
    second (the variance of a seed's deviation from the mean of the seeds), so it is subtracted from the variance of the
    values; counting it twice would make intervals a third too wide. With two or three seeds a variance is poorly known, so
    the variance of each model is moderated by those of the other models (see `metrics.resampling.variance.moderate`). A
    model with one seed gets their average: its seeds are assumed to vary as those of the other models. Without any model that has
    several seeds all variances are 0.

    Args:
        estimates: of each model (S,) value of each seed.
        values: of each model (B, S) on resampled images.

    Source: Searle, Casella and McCulloch 1992, Variance Components, section 4.3 (two crossed factors, by moments); Owen
    2007, "The pigeonhole bootstrap", on the double counting; Bouthillier et al. 2021, "Accounting for variance in machine
    learning benchmarks", section 2, on the variance between trainings.
    """
    count = np.array([len(of) for of in estimates])
    observed, images = np.zeros((2, len(count)))
    for index, (of_seeds, replicates) in enumerate(zip(estimates, values, strict=True)):
        seeds = len(of_seeds)
        if seeds == 1:
            continue
        observed[index] = of_seeds.var(ddof=1)
        mean = replicates.mean(axis=1, keepdims=True)
        defined = ~np.isnan(mean[:, 0])
        if np.count_nonzero(defined) > 1:
            own = (replicates[defined] - mean[defined]).var(axis=0, ddof=1)
            images[index] = own.sum() / (seeds - 1)
    dof = np.where(np.isnan(observed), 0, count - 1.0)
    observed, known = moderate(observed, dof)
    images, _ = moderate(images, dof)
    learned = np.maximum(observed - images, 0.0)
    contained = np.where(count > 1, images, 0.0)
    return [
        SeedVariance(float(part / seeds), float(whole / seeds), float(own / seeds), float(freedom))
        for part, whole, own, freedom, seeds in zip(learned, observed, contained, known, count, strict=True)
    ]
