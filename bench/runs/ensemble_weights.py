"""Weights of the runs of an ensemble, chosen by AP on validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.runs.ensemble import fuse_runs
from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.plurals import plural
from reports.records.run import RunFolder

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Values that are tried for the weight of each run."""


def search_weights(
    runs: Sequence[RunFolder],
    validation: Sequence[RunFolder],
    iou: float = 0.55,
    advance: Callable[[float], None] = lambda best: None,
) -> tuple[list[float], float]:
    """Weights of an ensemble with the highest AP on validation images: coordinate ascent from equal weights.

    In turn, each weight takes the value among `WEIGHTS` that gives the highest AP (of equal ones the current), until a round
    changes none. It is a local optimum, at most as good as the best weights, and at least as good as equal ones.

    Args:
        runs: that will be fused; their validation split is never read from them.
        validation: for each of `runs`, a run of the same variant and seed that was evaluated on the validation images, as
            ``bench reevaluate RUN --set evaluate.split=val`` makes it.
        iou: as for `fuse_runs`.
        advance: called after each evaluation with the highest AP so far.

    Returns:
        The weights, and their AP on the validation images.

    Raises:
        InputError: other numbers of runs, a run of another variant or seed, or runs on the images of `runs`.
    """
    _check(runs, validation)
    tried: dict[tuple[float, ...], float] = {}

    def score(weights: Sequence[float]) -> float:
        key = tuple(weight / sum(weights) for weight in weights)  # only their ratios matter
        if key not in tried:
            fused = fuse_runs(validation, iou, weights)
            tried[key] = evaluate(validation[0].truth, fused).value("ap")
            advance(max(tried.values()))
        return tried[key]

    weights = [1.0] * len(runs)
    best = score(weights)
    changed = True
    while changed:
        changed = False
        for index in range(len(runs)):
            for value in WEIGHTS:
                other = [*weights[:index], value, *weights[index + 1 :]]
                if any(other) and score(other) > best:
                    weights, best, changed = other, score(other), True
    return weights, best


def _check(runs: Sequence[RunFolder], validation: Sequence[RunFolder]) -> None:
    if len(validation) != len(runs):
        raise InputError(
            f"--validation: expected {plural(len(runs), 'run')}, one for each run of the ensemble in the same order, got {len(validation)}"
        )
    for run, other in zip(runs, validation, strict=True):
        if (run.result.variant, run.result.seed) != (other.result.variant, other.result.seed):
            raise InputError(
                f"--validation: {other.path} is of {other.result.variant}, seed {other.result.seed}, where {run.result.variant}, "
                f"seed {run.result.seed} is expected; give the runs in the order of the ensemble"
            )
        if other.truth.fingerprint == run.truth.fingerprint:
            raise InputError(
                f"--validation: {other.path} was evaluated on the same images as {run.path}; make a run on the validation images: "
                f"python -m bench reevaluate {run.path} --set evaluate.split=val"
            )
