"""Two levels of chance: which images are in the test set, and which seed trained the model.

A model that was trained once is a checkpoint: its intervals tell of other images. A model that was trained with
several seeds is a recipe: its intervals tell of other images and other seeds.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeededEstimate:
    """A number of a model, or a difference of two, with both levels of chance.

    Attributes:
        estimate: mean over seeds.
        replicates: (B,) on resampled images and seeds; NaN where there is nothing to measure.
        seed_variance: of the estimate, as far as seeds cause it; for each model that is part of it.
        freedom: degrees of freedom of each of them: seeds - 1.
    """

    estimate: float
    replicates: Floats
    seed_variance: tuple[float, ...]
    freedom: tuple[int, ...]

    def __sub__(self, other: SeededEstimate) -> SeededEstimate:
        return SeededEstimate(
            self.estimate - other.estimate,
            self.replicates - other.replicates,
            self.seed_variance + other.seed_variance,
            self.freedom + other.freedom,
        )

    def stretched(self, confidence: float) -> Floats:
        """(B,) replicates whose percentiles make an interval that also holds for few seeds.

        The spread of three seeds is poorly known, so a t distribution has wider tails than what they show. Deviations
        from the estimate are stretched by the ratio of its quantile to the normal's, with the degrees of freedom of the
        whole spread: where images cause most of it the ratio is near 1.

        Args:
            confidence: of the interval.

        Source: Welch 1947, "The generalization of 'Student's' problem", for the degrees of freedom.
        """
        from scipy.special import ndtri, stdtrit

        known = self.replicates[~np.isnan(self.replicates)]
        if not any(self.seed_variance) or len(known) < 2:
            return self.replicates
        uncertain = sum(v * v / f for v, f in zip(self.seed_variance, self.freedom, strict=True) if f > 0)
        freedom = max(known.var(ddof=1) ** 2 / uncertain, 1.0)
        tail = (1 + confidence) / 2
        stretch = float(stdtrit(freedom, tail) / ndtri(tail))
        return self.estimate + (self.replicates - self.estimate) * stretch


def seed_draws(model: str, seeds: int, resamples: int, seed: int) -> Floats:
    """(B, S) how often each of a model's seeds is drawn in each resample, divided by S.

    Args:
        model: its name: each has draws of its own, whoever else takes part.
        seeds: S.
        resamples: B.
        seed: of the draws.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 2, zlib.crc32(model.encode())]))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    return np.asarray(drawn / seeds)


def combine_seeds(estimates: Floats, values: Floats, draws: Floats) -> SeededEstimate:
    """A model's number with both levels of chance.

    In each resample all seeds see the same images, and the seeds themselves are drawn with replacement. Their spread is
    scaled, because a mean of S draws spreads too little by (S - 1) / S, and because the seeds differ for two reasons:
    what they learned, and which of these images suit them. The second is seen by the resamples of images already, so its
    share, measured on them, is taken out; to count it again would make intervals a third too wide.

    Args:
        estimates: (S,) of each seed.
        values: (B, S) on resampled images.
        draws: (B, S) of `seed_draws`.

    Source: Searle, Casella and McCulloch 1992, Variance Components, section 4.3 (two crossed factors, by moments); Owen
    2007, "The pigeonhole bootstrap", on what resampling both of them counts twice.
    """
    seeds = len(estimates)
    if seeds == 1:
        return SeededEstimate(float(estimates[0]), values[:, 0], (0.0,), (0,))
    mean = values.mean(axis=1)
    known = ~np.isnan(mean)
    variance = float(estimates.var(ddof=1))
    suited = 0.0
    if np.count_nonzero(known) > 1:
        suited = float((values[known] - mean[known, None]).var(axis=0, ddof=1).sum() / (seeds - 1))
    learned = max(variance - suited, 0.0)
    scale = np.sqrt(seeds / (seeds - 1) * learned / variance) if variance > 0 else 0.0
    moved = scale * (draws @ estimates - estimates.mean())
    return SeededEstimate(float(estimates.mean()), mean + moved, (variance / seeds,), (seeds - 1,))
