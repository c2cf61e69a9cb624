"""Permutation test of two models: swap their detections on randomly chosen images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.compare.rows import ALL, PERMUTATION_TEST, PairDifference
from metrics.notes import Note
from metrics.resampling.intervals import permutation_p_value
from metrics.resampling.multiple_comparisons import holm
from metrics.resampling.replicates import Statistic, weigh
from metrics.resampling.run_rankings import RunRankings, SwappedRankings
from metrics.resampling.weights import swap_weights


def permutation_tests(
    rankings: Mapping[str, Sequence[RunRankings]],
    models: Sequence[str],
    statistic: Statistic,
    unit: NDArray[np.intp],
    permutations: int,
    seed: int,
) -> tuple[list[PairDifference], list[Note]]:
    """Test the leader against each other model over all classes.

    The null hypothesis is that the two models' detections are exchangeable image by image, which is stronger than equal
    values: the test is slightly conservative for models whose scores are on different scales. It supplements the bootstrap
    and is never decisive by itself.

    Args:
        rankings: by model, one per seed; seeds are paired in order.
        models: best first.
        statistic: the statistic to compare.
        unit: (I,) resampling unit of each image; images of one unit are swapped together.
        permutations: P.
        seed: of the random number generator.

    Returns:
        A row per pair with Holm-adjusted p-values, and a note of kind ``no_permutation_test`` for each pair left out.
    """
    weights = swap_weights(unit, permutations, seed)
    images = weights.shape[1] // 2
    swapped_weights = np.concatenate([weights[:, images:], weights[:, :images]], axis=1)
    each_alone = np.repeat(np.eye(2, dtype=np.uint8), images, axis=1)
    rows = np.concatenate([weights, swapped_weights, each_alone])
    leader, *others = models
    pairs, notes = [], []
    for model in others:
        if len(rankings[leader]) != len(rankings[model]):
            text = f"no permutation test of {leader} and {model}: they have different numbers of seeds"
            notes.append(Note("no_permutation_test", text, model))
            continue
        permuted, observed = [], []
        for one, other in zip(rankings[leader], rankings[model], strict=True):
            [(values, _)] = weigh(SwappedRankings(one, other), rows, [statistic])
            permuted.append(values[:permutations] - values[permutations : 2 * permutations])
            observed.append(float(values[-2] - values[-1]))
        pairs.append((model, float(np.mean(observed)), np.mean(permuted, axis=0)))
    raw = [permutation_p_value(delta, permuted) for _, delta, permuted in pairs]
    tests = [
        PairDifference(
            model_a=leader,
            model_b=model,
            metric=statistic.name,
            scope=ALL,
            delta=delta,
            p_raw=p,
            p_adj=float(p_adj),
            adjust="holm",
            test=PERMUTATION_TEST,
            B=int(np.count_nonzero(~np.isnan(permuted))),
        )
        for (model, delta, permuted), p, p_adj in zip(pairs, raw, holm(raw), strict=True)
    ]
    return tests, notes
