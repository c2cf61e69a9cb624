"""Whole curves under resampled images: precision over recall, and what is right and false over score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.resampling.blocks import Block, RunRankings, block_by_block, class_mean
from metrics.resampling.weights import Weights

Floats = NDArray[np.float64]

LEVELS = 101
"""Recalls 0, 0.01 ... 1 at which COCO reads precision."""


def precision_over_recall(
    rankings: RunRankings, weights: Weights, iou: float, area: str, max_dets: int
) -> NDArray[np.float64]:
    """(B, 101) precision at COCO's recalls under each row of weights, mean over the classes that have objects.

    Args:
        rankings: of the run.
        weights: (B, I).
        iou: one of the rule's thresholds.
        area: one of its area ranges.
        max_dets: any number up to its largest.

    Returns:
        NaN where a row has nothing to measure. Its mean over recalls is average precision at this threshold.
    """

    def measure(block: Block, lanes: int) -> Floats:
        envelope = block.envelope(block.rankings.at(iou, area, max_dets), LEVELS)
        # Classes are few and recalls many: the mean of each recall over classes, lane by lane.
        return class_mean(envelope.reshape(len(envelope), -1)).reshape(LEVELS, -1)[:, :lanes].T

    return np.concatenate(block_by_block(rankings, weights, measure))


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """What is right and false at each of some scores or above, all classes together, under each row of weights.

    Attributes:
        tp: (B, S) true positives.
        fp: (B, S) false positives.
        positives: (B, 1) objects that are asked for.
    """

    tp: Floats
    fp: Floats
    positives: Floats

    @property
    def precision(self) -> Floats:
        """(B, S) NaN where nothing is left."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """(B, S) NaN where nothing is asked for."""
        return _ratio(self.tp, np.broadcast_to(self.positives, self.tp.shape))

    @property
    def f1(self) -> Floats:
        """(B, S) ``2 true / (true + false + asked)``; NaN where nothing is asked for."""
        whole = np.where(self.positives > 0, self.tp + self.fp + self.positives, 0.0)
        return _ratio(2 * self.tp, whole)


def counts_over_score(matches: Matches, weights: Weights, scores: Floats, iou: float) -> ScoreCounts:
    """Counts at rising scores, for all rows at once: sums over images, weighed.

    Args:
        matches: of the run.
        weights: (B, I).
        scores: (S,) rising.
        iou: one of the rule's thresholds; objects of the rule's first area range.
    """
    outcome = matches.at(iou, matches.rule.areas[0])
    images = weights.shape[1]
    often = weights.astype(np.float32)  # counts below 2**24 are exact

    def weighed(kept: NDArray[np.bool_]) -> Floats:
        reached = np.searchsorted(scores, outcome.score[kept], side="right")
        places = outcome.image[kept].astype(np.intp) * (len(scores) + 1) + reached
        table = np.bincount(places, minlength=images * (len(scores) + 1)).reshape(images, -1)
        at_least = table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:].astype(np.float32)
        return np.asarray(often @ at_least, np.float64)

    objects = np.bincount(matches.truth.image[outcome.valid], minlength=images).astype(np.float32)
    false = ~outcome.tp & ~outcome.ignored
    return ScoreCounts(weighed(outcome.tp), weighed(false), np.asarray(often @ objects[:, None], np.float64))


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
