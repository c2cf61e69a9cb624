"""A second opinion: if two models were interchangeable, a coin could say whose detections each image bears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.compare.comparison import ALL, PairDifference
from metrics.resampling.blocks import RunRankings, Statistic, SwappedRankings, weigh
from metrics.resampling.multiple_comparisons import holm
from metrics.resampling.weights import swap_weights


def permutation_tests(
    rankings: Mapping[str, Sequence[RunRankings]],
    models: Sequence[str],
    statistic: Statistic,
    unit: NDArray[np.intp],
    permutations: int,
    seed: int,
) -> tuple[list[PairDifference], list[str]]:
    """The leader against each other model, under swaps of whole images; all classes together.

    This tests whether the two could have exchanged their detections, image by image, which is more than having the same
    value: models whose scores do not mean the same are told apart a little too rarely. So it seconds the bootstrap and
    does not decide.

    Args:
        rankings: model to one for each seed; the first seed of one is swapped with the first of the other, and so on.
        models: best first.
        statistic: what is compared.
        unit: (I,) each image's unit; a unit's images are swapped together.
        permutations: P.
        seed: of the coin.

    Returns:
        A row for each pair, p-values corrected after Holm; and what had to be left out.
    """
    weights = swap_weights(unit, permutations, seed)
    half = weights.shape[1] // 2
    other_half = np.concatenate([weights[:, half:], weights[:, :half]], axis=1)
    both = np.concatenate([weights, other_half])
    leader, *others = models
    pairs, left_out = [], []
    for model in others:
        if len(rankings[leader]) != len(rankings[model]):
            left_out.append(f"no label swap of {leader} and {model}: they have different numbers of seeds")
            continue
        swapped, whole = [], []
        for one, other in zip(rankings[leader], rankings[model], strict=True):
            taken = SwappedRankings(one, other)
            [(values, _)] = weigh(taken, both, [statistic])
            swapped.append(values[:permutations] - values[permutations:])
            all_of = np.zeros((2, 2 * half), np.uint8)
            all_of[0, :half] = all_of[1, half:] = 1
            [(sides, _)] = weigh(taken, all_of, [statistic])
            whole.append(float(sides[0] - sides[1]))
        pairs.append((model, float(np.mean(whole)), np.mean(swapped, axis=0)))
    raw = [_p_value(delta, swaps) for _, delta, swaps in pairs]
    rows = [
        PairDifference(
            model_a=leader,
            model_b=model,
            metric=statistic.name,
            scope=ALL,
            delta=delta,
            ci_low=np.nan,
            ci_high=np.nan,
            sim_low=np.nan,
            sim_high=np.nan,
            p_raw=p,
            p_adj=float(p_adj),
            adjust="holm",
            p_a_gt_b=np.nan,
            mdd=np.nan,
            test="label swap",
            B=int(np.count_nonzero(~np.isnan(swaps))),
            ci_method="none",
            se=np.nan,
            decisive=False,
            too_few=False,
        )
        for (model, delta, swaps), p, p_adj in zip(pairs, raw, holm(raw), strict=True)
    ]
    return rows, left_out


def _p_value(delta: float, swapped: NDArray[np.float64]) -> float:
    """``(1 + #{|d'| >= |d|}) / (P + 1)``."""
    values = swapped[~np.isnan(swapped)]
    if np.isnan(delta) or not len(values):
        return float("nan")
    return float((1 + np.count_nonzero(np.abs(values) >= abs(delta) - 1e-12)) / (1 + len(values)))
