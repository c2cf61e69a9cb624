"""Whether the model to use is better chosen before or after post-processing is tuned on the same validation images.

``python -m tests.benchmarks.decision_choice`` prints how far the true AP of the chosen model, with its tuned settings, is below that
of the best model, in percentage points.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

SETTINGS = 40
BETWEEN_MODELS, BETWEEN_SETTINGS = 15.0, 5.0
"""Standard deviation over images of what is particular to a model, and to a setting of a model, in percentage points."""


class Loss(NamedTuple):
    """Mean difference from the best model, in percentage points, by when the model was chosen."""

    before: float
    after: float


def simulate(
    images: int, models: int, gains: float, fixed: int = 0, decisions: int = 4000, seed: int = 0
) -> Loss:
    """Simulate decisions between models that no look has eliminated.

    Args:
        images: of the validation split.
        models: number of models; their true AP with default settings has a standard deviation of 2 points.
        gains: standard deviation of the true gains by the best settings of each model, in percentage points; other settings are worse
            than the best ones.
        fixed: number of models whose post-processing cannot be tuned.
        decisions: number of simulated decisions.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    default = rng.normal(0, 2, (decisions, models, 1))
    best = np.abs(rng.normal(0, gains, (decisions, models, 1))) if gains else np.zeros((decisions, models, 1))
    true = np.concatenate(
        [default, default + best - rng.exponential(1.0, (decisions, models, SETTINGS - 1))], axis=2
    )
    true[:, :fixed, 1:] = -np.inf
    noise = rng.normal(0, BETWEEN_MODELS / np.sqrt(images), (decisions, models, 1))
    seen = true + noise + rng.normal(0, BETWEEN_SETTINGS / np.sqrt(images), true.shape)
    tuned = seen.argmax(axis=2)
    final = np.take_along_axis(true, tuned[..., None], axis=2)[..., 0]
    at = np.arange(decisions)
    top = final.max(axis=1)
    before = top - final[at, seen[..., 0].argmax(axis=1)]
    after = top - final[at, seen.max(axis=2).argmax(axis=1)]
    return Loss(float(before.mean()), float(after.mean()))


def main() -> None:
    """Print a row for each kind of decision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=20_000)
    decisions = parser.parse_args().decisions
    print(
        "| validation images | models | of which cannot be tuned | gains by tuning | chosen before tuning | after tuning |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for images in (20, 87, 500):
        for models, fixed in ((2, 0), (5, 0), (2, 1)):
            for gains in (0.0, 1.0, 3.0):
                loss = simulate(images, models, gains, fixed, decisions)
                print(f"| {images} | {models} | {fixed} | {gains:g} | {loss.before:.2f} | {loss.after:.2f} |")


if __name__ == "__main__":
    main()
