"""Whole curves on resampled images: precision over recall, and counts over the score threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.plurals import plural
from metrics.ratios import ratio
from metrics.resampling.blocks import Block, block_by_block, class_mean
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.weights import Weights

Floats = NDArray[np.float64]

LEVELS = 101
"""Number of COCO's recall levels 0, 0.01 ... 1."""


def precision_over_recall(
    rankings: RunRankings, weights: Weights, iou: float, area: str, max_dets: int
) -> Floats:
    """Compute precision at COCO's recall levels under each row of weights, mean over the classes with objects.

    Args:
        rankings: of the run.
        weights: (B, I).
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges.
        max_dets: at most the rule's largest.

    Returns:
        (B, 101); NaN where undefined. Its mean over recall is average precision at this threshold.
    """

    def measure(block: Block, lanes: int) -> Floats:
        envelope = block.envelope(block.rankings.at(iou, area, max_dets), LEVELS)
        return class_mean(envelope.reshape(len(envelope), -1)).reshape(LEVELS, -1)[:, :lanes].T

    return np.concatenate(block_by_block(rankings, weights, measure))


@dataclass(frozen=True, eq=False, repr=False)
class ScoreCounts:
    """Counts at several score thresholds under each row of weights, all classes pooled.

    Attributes:
        tp: (B, S) true positives.
        fp: (B, S) false positives.
        positives: (B, 1) valid ground-truth objects.
    """

    tp: Floats
    fp: Floats
    positives: Floats

    def __repr__(self) -> str:
        return f"ScoreCounts({plural(self.tp.shape[0], 'replicate')}, {plural(self.tp.shape[1], 'score')})"

    @property
    def precision(self) -> Floats:
        """(B, S) NaN without detections."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """(B, S) NaN without valid ground truth."""
        return ratio(self.tp, np.broadcast_to(self.positives, self.tp.shape))

    @property
    def f1(self) -> Floats:
        """(B, S) ``2 tp / (tp + fp + positives)``; NaN without valid ground truth."""
        whole = np.where(self.positives > 0, self.tp + self.fp + self.positives, 0.0)
        return ratio(2 * self.tp, whole)


def counts_over_score(matches: Matches, weights: Weights, scores: Floats, iou: float) -> ScoreCounts:
    """Count true and false positives at ascending score thresholds, as weighted sums over images.

    Args:
        matches: the matched detections.
        weights: (B, I).
        scores: (S,) ascending.
        iou: one of the rule's thresholds; in the rule's first area range.
    """
    outcome = matches.at(iou, matches.rule.areas[0])
    images = weights.shape[1]
    multiplicity = weights.astype(np.float32)  # exact for counts below 2**24

    def count(kept: NDArray[np.bool_]) -> Floats:
        reached = np.searchsorted(scores, outcome.score[kept], side="right")
        cell = outcome.image[kept].astype(np.intp) * (len(scores) + 1) + reached
        table = np.bincount(cell, minlength=images * (len(scores) + 1)).reshape(images, -1)
        at_least = table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:].astype(np.float32)
        return np.asarray(multiplicity @ at_least, np.float64)

    objects = np.bincount(matches.truth.image[outcome.valid], minlength=images).astype(np.float32)
    positives = np.asarray(multiplicity @ objects[:, None], np.float64)
    return ScoreCounts(count(outcome.tp), count(~outcome.tp & ~outcome.ignored), positives)
