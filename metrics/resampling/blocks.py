"""Evaluation of a run under a block of weights, `LANES` replicates at once, with blocks on all cores."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.threads import for_each
from metrics.resampling import curve_kernels, threshold_kernels
from metrics.resampling.lanes import LANES, count_detections, count_objects
from metrics.resampling.rankings import Ranking
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.weights import Weights

T = TypeVar("T")

Lanes = NDArray[np.float64]
"""(..., L): the last axis is the replicate."""


class Block:
    """One run under `LANES` rows of weights; what a kernel computes from a ranking is cached.

    Args:
        rankings: of the run.
        weights: (I, LANES) uint8.
    """

    def __init__(self, rankings: RunRankings, weights: NDArray[np.uint8]) -> None:
        self.rankings = rankings
        self.weights = weights
        self._results: dict[Hashable, object] = {}

    def positives(self, ranking: Ranking) -> Lanes:
        """Return (K, L) numbers of valid objects."""

        def compute() -> Lanes:
            positives = np.empty((len(ranking.start) - 1, LANES))
            count = np.empty(LANES, np.int32)
            count_objects(self.weights, ranking.object_start, ranking.object_image, count, positives)
            return positives

        return self._cached(("positives", id(ranking)), compute)

    def curves(self, ranking: Ranking, levels: int) -> tuple[Lanes, Lanes]:
        """Return (K, T, L) average precision over the recall levels (0: all recalls) and (K, T, L) final recall."""

        def compute() -> tuple[Lanes, Lanes]:
            precision, recall = np.empty((2, len(ranking.start) - 1, ranking.thresholds, LANES))
            scratch = curve_kernels.make_curve_scratch(ranking.thresholds)
            curve_kernels.average_precisions(
                self.weights, self.positives(ranking), ranking.steps, levels, scratch, precision, recall
            )
            return precision, recall

        return self._cached(("curves", id(ranking), levels), compute)

    def envelope(self, ranking: Ranking, levels: int, scale: Lanes | None = None) -> Lanes:
        """Return (K, levels, L) the highest precision at each recall level or above, for a ranking with one threshold.

        Args:
            ranking: with one threshold.
            levels: number of recall levels.
            scale: (K, L) how often a true positive counts in precision, by default once.
        """

        def compute() -> Lanes:
            positives = self.positives(ranking)
            precision = np.empty((len(positives), levels, LANES))
            scratch = curve_kernels.EnvelopeScratch(np.empty(LANES, np.int32), *np.empty((4, LANES)))
            factor = np.ones_like(positives) if scale is None else scale
            curve_kernels.precision_envelopes(
                self.weights, positives, ranking.steps, factor, scratch, precision
            )
            return precision

        return compute() if scale is not None else self._cached(("envelope", id(ranking), levels), compute)

    def counts(self, ranking: Ranking, threshold: int, score: float) -> tuple[Lanes, Lanes]:
        """Return (K, L) true and (K, L) false positives at a score threshold and the IoU threshold of this index."""

        def compute() -> tuple[Lanes, Lanes]:
            first = ranking.start[:-1]
            kept = np.concatenate([[0], np.cumsum(ranking.score >= score)])  # scores fall within a class
            last = first + kept[ranking.start[1:]] - kept[first]
            tp, fp = np.empty((2, len(first), LANES))
            count_detections(self.weights, ranking.arrays, last, threshold, tp, fp)
            return tp, fp

        return self._cached(("counts", id(ranking), threshold, score), compute)

    def optima(self, ranking: Ranking, iou: float) -> threshold_kernels.Optima:
        """Return the lowest LRP error and the highest F1 over all score thresholds, for a ranking at this IoU threshold."""

        def compute() -> threshold_kernels.Optima:
            loss = np.where(ranking.tp != 0, (1 - ranking.iou) / (1 - iou), 0.0)
            optima = threshold_kernels.Optima(*np.empty((2, len(ranking.start) - 1, LANES)))
            scratch = threshold_kernels.ThresholdScratch(*np.empty((3, LANES)))
            threshold_kernels.optimal_thresholds(
                self.weights, self.positives(ranking), ranking.arrays, loss, ranking.ends, scratch, optima
            )
            return optima

        return self._cached(("optima", id(ranking), iou), compute)

    def _cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        if key not in self._results:
            self._results[key] = compute()
        return self._results[key]  # type: ignore[return-value]  # a key has one type of result


def class_mean(values: Lanes) -> Lanes:
    """Average (K, L) over classes to (L,), ignoring NaN; NaN where all are NaN."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0))


def block_by_block(rankings: RunRankings, weights: Weights, measure: Callable[[Block, int], T]) -> list[T]:
    """Apply a function to each block of rows of weights, in order, using all cores.

    Args:
        rankings: of the run.
        weights: (B, I).
        measure: given a block and the number of its lanes that are rows.
    """

    def measure_block(first: int) -> T:
        part = weights[first : first + LANES]
        table = np.zeros((part.shape[1], LANES), np.uint8)
        table[:, : len(part)] = part.T
        return measure(Block(rankings, table), len(part))

    starts = range(0, len(weights), LANES)
    # The first block runs alone: it makes the rankings that the threads share.
    return [measure_block(first) for first in starts[:1]] + for_each(measure_block, starts[1:])
