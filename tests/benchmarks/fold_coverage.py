"""Measure how often intervals of a difference over folds contain the true difference.

    python -m tests.benchmarks.fold_coverage --experiments 20000

A simulated difference of two models in a fold is the mean of an effect of each training image (what the networks learned from
it) plus the mean of an effect of each test image. Folds share training images, so that their values are correlated. Prints
for each number of folds, and each share of the variance between folds that training images cause, the coverage of 95 %
intervals of the corrected resampled t and of the naive t, and how often each calls two equal models different (1 - coverage).
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]


def draw_folds(rng: np.random.Generator, experiments: int, folds: int, images: int, shared: float) -> Floats:
    """Draw the difference of two equal models in each fold.

    Args:
        rng: random numbers.
        experiments: E.
        folds: K, which divides `images`.
        images: of the data set.
        shared: share of the variance of one fold's value that training images cause, in [0, 1].

    Returns:
        (E, K), each of variance 1 and mean 0.
    """
    test, train = images // folds, images - images // folds
    learned = rng.normal(0, np.sqrt(shared * train), (experiments, folds, test))
    tested = rng.normal(0, np.sqrt((1 - shared) * test), (experiments, folds, test))
    of_fold = learned.sum(2)
    values: Floats = (of_fold.sum(1, keepdims=True) - of_fold) / train + tested.mean(2)
    return values


def coverage(values: Floats, test_share: float, confidence: float = 0.95) -> float:
    """Share of experiments whose interval contains 0; the interval of `metrics.designs.folds.fold_interval`, for all at once."""
    count = values.shape[1]
    se = np.sqrt((1 / count + test_share) * values.var(1, ddof=1))
    half = stdtrit(count - 1, (1 + confidence) / 2) * se
    return float((np.abs(values.mean(1)) <= half).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiments", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    print("folds  caused by training  corrected t  naive t")
    for folds in (3, 5, 10):
        for shared in (0.0, 0.25, 0.5, 0.75):
            values = draw_folds(rng, given.experiments, folds, 60, shared)
            corrected = coverage(values, 1 / (folds - 1))
            print(f"{folds:5d}  {shared:18.0%}  {corrected:11.1%}  {coverage(values, 0.0):7.1%}")


if __name__ == "__main__":
    main()
