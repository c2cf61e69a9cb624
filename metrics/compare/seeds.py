"""Two sources of variance: the images of the test set, and the seed that a model was trained with.

A model trained once is a checkpoint: its intervals generalize to other images. A model trained with several seeds is a
training recipe: its intervals generalize to other images and other seeds.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeededEstimate:
    """A model's value, or a difference of two models, with replicates over images and seeds.

    Attributes:
        value: mean over seeds.
        replicates: (B,) on resampled images and seeds; NaN where undefined.
        seed_variance: variance of the value due to seeds, one number per model involved.
        degrees_of_freedom: of each variance: seeds - 1.
    """

    value: float
    replicates: Floats
    seed_variance: tuple[float, ...]
    degrees_of_freedom: tuple[int, ...]

    def __sub__(self, other: SeededEstimate) -> SeededEstimate:
        return SeededEstimate(
            self.value - other.value,
            self.replicates - other.replicates,
            self.seed_variance + other.seed_variance,
            self.degrees_of_freedom + other.degrees_of_freedom,
        )

    def stretched(self, confidence: float) -> Floats:
        """Return (B,) replicates whose percentiles give an interval that also holds for few seeds.

        The variance of three seeds is poorly known, so a t distribution has wider tails. Deviations from the value are
        multiplied by the ratio of its quantile to the normal quantile, with the degrees of freedom of the total variance:
        where images cause most of it, the ratio is close to 1.

        Args:
            confidence: level of the interval.

        Source: Welch 1947, "The generalization of 'Student's' problem", for the degrees of freedom.
        """
        from scipy.special import ndtri, stdtrit

        defined = self.replicates[~np.isnan(self.replicates)]
        if not any(self.seed_variance) or len(defined) < 2:
            return self.replicates
        terms = zip(self.seed_variance, self.degrees_of_freedom, strict=True)
        uncertain = sum(variance * variance / freedom for variance, freedom in terms if freedom > 0)
        freedom = max(defined.var(ddof=1) ** 2 / uncertain, 1.0)
        tail = (1 + confidence) / 2
        stretch = float(stdtrit(freedom, tail) / ndtri(tail))
        return self.value + (self.replicates - self.value) * stretch


def seed_weights(model: str, seeds: int, resamples: int, seed: int) -> Floats:
    """Draw the weight of each of a model's seeds in each resample.

    Args:
        model: its name; each model has a random stream that does not depend on the other models.
        seeds: S.
        resamples: B.
        seed: of the random number generator.

    Returns:
        (B, S); rows sum to 1.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 2, zlib.crc32(model.encode())]))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    return np.asarray(drawn / seeds)


def combine_seeds(estimates: Floats, values: Floats, weights: Floats) -> SeededEstimate:
    """Combine the replicates of a model's seeds into replicates over images and seeds.

    In each resample all seeds use the same images, and the seeds themselves are resampled with replacement. The spread of
    resampled seeds is scaled, because the variance of a mean of S draws is too small by (S - 1) / S, and because seeds
    differ for two reasons: what they learned, and which of these images suit them. The resamples of images already contain
    the second, so its share, estimated from them, is removed; counting it twice would make intervals a third too wide.

    Args:
        estimates: (S,) value of each seed.
        values: (B, S) on resampled images.
        weights: (B, S) from `seed_weights`.

    Source: Searle, Casella and McCulloch 1992, Variance Components, section 4.3 (two crossed factors, by moments); Owen
    2007, "The pigeonhole bootstrap", on the double counting.
    """
    seeds = len(estimates)
    if seeds == 1:
        return SeededEstimate(float(estimates[0]), values[:, 0], (0.0,), (0,))
    mean = values.mean(axis=1)
    defined = ~np.isnan(mean)
    variance = float(estimates.var(ddof=1))
    interaction = 0.0
    if np.count_nonzero(defined) > 1:
        interaction = float((values[defined] - mean[defined, None]).var(axis=0, ddof=1).sum() / (seeds - 1))
    learned = max(variance - interaction, 0.0)
    scale = np.sqrt(seeds / (seeds - 1) * learned / variance) if variance > 0 else 0.0
    shift = scale * (weights @ estimates - estimates.mean())
    return SeededEstimate(float(estimates.mean()), mean + shift, (variance / seeds,), (seeds - 1,))
