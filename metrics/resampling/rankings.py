"""Rankings: the part of a run that measures depend on when images are resampled.

`Matches` give one ranking per area range and max_dets; a run with a type of error fixed gives a ranking of its own. The same
kernels resample all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.matching import Matches, MatchOutcome
from metrics.plurals import plural
from metrics.resampling.curve_kernels import RankingSteps
from metrics.resampling.lanes import RankedArrays


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    """Ranked detections of each class, and the valid ground-truth objects.

    Detections are sorted by class, then by falling score, then by image, then in input order.

    Attributes:
        images: I.
        thresholds: T, at most 64.
        start: (K + 1,) int64 class k's detections are ``start[k]:start[k + 1]``.
        image: (D,) int32 in [0, I).
        score: (D,) float64.
        tp: (D,) uint64 words: bit t is set if the detection is a true positive at threshold t.
        ignored: (D,) uint64 words: bit t is set if it is ignored at threshold t; disjoint from `tp`.
        iou: (D,) float64 IoU of a true positive with its object; NaN for others. Empty if it depends on the threshold.
        object_start: (K + 1,) int64 class k's objects are ``object_start[k]:object_start[k + 1]``.
        object_image: (G,) int32 image of each valid object.
    """

    images: int
    thresholds: int
    start: NDArray[np.int64]
    image: NDArray[np.int32]
    score: NDArray[np.float64]
    tp: NDArray[np.uint64]
    ignored: NDArray[np.uint64]
    iou: NDArray[np.float64]
    object_start: NDArray[np.int64]
    object_image: NDArray[np.int32]

    def __repr__(self) -> str:
        return (
            f"Ranking({plural(len(self.image), 'detection')} and {plural(len(self.object_image), 'object')} in {plural(self.images, 'image')},"
            f" {plural(len(self.start) - 1, 'class')}, {plural(self.thresholds, 'threshold')})"
        )

    @classmethod
    def of(
        cls,
        images: int,
        classes: int,
        *,
        label: ArrayLike,
        image: ArrayLike,
        score: ArrayLike,
        tp: ArrayLike,
        object_label: ArrayLike,
        object_image: ArrayLike,
        ignored: ArrayLike | None = None,
        iou: ArrayLike | None = None,
        thresholds: int = 1,
        tie: ArrayLike | None = None,
    ) -> Self:
        """Build a ranking from columns in any order; equal label, score and image stay in input order.

        Args:
            images: I.
            classes: K.
            label: (D,) class of each detection.
            image: (D,) image of each detection.
            score: (D,) score of each detection.
            tp: (D,) words, or booleans for one threshold.
            object_label: (G,) class of each valid object.
            object_image: (G,) image of each valid object.
            ignored: (D,) words or booleans; by default none is ignored.
            iou: (D,) IoU of each true positive; see `Ranking`.
            thresholds: T.
            tie: (D,) order of equal scores, smallest first; by default the image.
        """
        labels, image_index, scores = np.asarray(label), np.asarray(image), np.asarray(score, np.float64)
        order = np.lexsort((image_index if tie is None else np.asarray(tie), -scores, labels))
        object_labels = np.asarray(object_label)
        by_class = np.argsort(object_labels, kind="stable")
        edges = np.arange(classes + 1)
        words = np.zeros(len(labels), np.uint64) if ignored is None else np.asarray(ignored).astype(np.uint64)
        return cls(
            images,
            thresholds,
            np.searchsorted(labels[order], edges),
            image_index[order].astype(np.int32),
            scores[order],
            np.asarray(tp).astype(np.uint64)[order],
            words[order],
            np.zeros(0) if iou is None else np.asarray(iou, np.float64)[order],
            np.searchsorted(object_labels[by_class], edges),
            np.asarray(object_image)[by_class].astype(np.int32),
        )

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """(D,) class of each detection."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @cached_property
    def object_label(self) -> NDArray[np.int64]:
        """(G,) class of each valid object."""
        return np.repeat(np.arange(len(self.object_start) - 1), np.diff(self.object_start))

    @cached_property
    def pooled(self) -> Ranking:
        """The same detections and objects as a single class."""
        return Ranking.of(
            self.images,
            1,
            label=np.zeros(len(self.image), np.int64),
            image=self.image,
            score=self.score,
            tp=self.tp,
            ignored=self.ignored,
            iou=self.iou if len(self.iou) else None,
            object_label=np.zeros(len(self.object_image), np.int64),
            object_image=self.object_image,
            thresholds=self.thresholds,
        )

    @property
    def arrays(self) -> RankedArrays:
        """The columns that kernels read."""
        return RankedArrays(self.start, self.image, self.tp, self.ignored)

    @cached_property
    def ends(self) -> NDArray[np.bool_]:
        """(D,) whether a run of equal scores of a class that has a true positive ends here."""
        count = len(self.score)
        ends = np.ones(count, np.bool_)
        ends[:-1] = (self.score[1:] != self.score[:-1]) | (self.label[1:] != self.label[:-1])
        last = np.flatnonzero(ends)
        first = np.append(0, last[:-1] + 1)
        ends[last] = np.logical_or.reduceat(self.tp != 0, first) if count else False
        return ends

    @cached_property
    def steps(self) -> RankingSteps:
        """The ranking without what changes no curve, for kernels."""
        every = np.uint64((1 << self.thresholds) - 1)
        counts = self.ignored != every
        columns = (self.label, self.image, self.score, self.tp, self.ignored)
        label, image, score, tp, ignored = (column[counts] for column in columns)
        classes = len(self.start) - 1

        is_first = np.ones(len(image), np.bool_)
        is_first[1:] = (image[1:] != image[:-1]) | (score[1:] != score[:-1]) | (label[1:] != label[:-1])
        first = np.flatnonzero(is_first)
        last = np.append(first[1:], len(image))
        has_tp = np.logical_or.reduceat(tp != 0, first) if len(first) else np.zeros(0, np.bool_)
        tied = has_tp & (last - first > 1)
        single = np.flatnonzero(((tp | ignored) != 0) & ~np.repeat(tied, last - first))
        step_first = np.concatenate([first[tied], single])
        step_last = np.concatenate([last[tied], single + 1])
        order = np.argsort(step_first)
        step_first, step_last = step_first[order], step_last[order]

        step_start = np.searchsorted(label[step_first], np.arange(classes + 1))
        end = np.zeros(classes, np.int64)  # of each class's last step; later detections change no curve
        has_steps = step_start[1:] > step_start[:-1]
        end[has_steps] = step_last[step_start[1:][has_steps] - 1]
        kept = np.arange(len(image)) < end[label]
        position = np.cumsum(kept) - 1
        step_first, step_last = position[step_first], position[step_last - 1] + 1
        return RankingSteps(
            np.searchsorted(label[kept], np.arange(classes + 1)),
            image[kept],
            tp[kept],
            ignored[kept],
            step_start,
            step_first,
            step_last,
        )


def rank_detections(matches: Matches, area: str | None = None, max_dets: int | None = None) -> Ranking:
    """Return the ranking at all of a rule's thresholds.

    Args:
        matches: the matched detections.
        area: one of ``matches.rule.areas``, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Raises:
        InputError: the rule has no such area range, or its largest max_dets is smaller.
    """
    rule = matches.rule
    index, max_dets = rule.area_index(area or rule.areas[0]), rule.max_dets_or_largest(max_dets)
    valid = (matches.valid >> np.uint64(index)) & np.uint64(1) == 1
    pair_valid = valid[matches.pair_object]
    tp, ignored = np.zeros((2, len(matches.detections)), np.uint64)
    for words, part in ((tp, pair_valid), (ignored, ~pair_valid)):
        np.bitwise_or.at(words, matches.pair_row[part], matches.pair_bits[part, index])
    every = np.uint64((1 << len(rule.iou_thresholds)) - 1)
    inside = (matches.inside >> index) & 1 == 1
    ignored = np.where(inside, ignored, every & ~tp)

    kept = slice(None) if max_dets == rule.max_dets[-1] else matches.rank < max_dets
    row, label = matches.row[kept], matches.label[kept]
    objects = _by_class(matches, valid)
    edges = np.arange(len(matches.classes) + 1)
    return Ranking(
        len(matches.truth.catalog.image_ids),
        len(rule.iou_thresholds),
        np.searchsorted(label, edges),
        matches.detections.image[row],
        matches.detections.score[row],
        tp[row],
        ignored[row],
        np.zeros(0),
        np.searchsorted(matches.object_label[objects], edges),
        matches.truth.image[objects],
    )


def rank_outcome(outcome: MatchOutcome, matches: Matches) -> Ranking:
    """Return the ranking at one threshold, with the IoU of true positives.

    Args:
        outcome: from ``matches.at``, or derived from one.
        matches: the matched detections.
    """
    objects = _by_class(matches, outcome.valid)
    return Ranking(
        len(matches.truth.catalog.image_ids),
        1,
        outcome.start,
        outcome.image,
        outcome.score,
        outcome.tp.astype(np.uint64),
        outcome.ignored.astype(np.uint64),
        np.where(outcome.tp, outcome.iou, np.nan),
        np.searchsorted(matches.object_label[objects], np.arange(len(matches.classes) + 1)),
        matches.truth.image[objects],
    )


def merge_rankings(one: Ranking, other: Ranking) -> Ranking:
    """Return both rankings as one with twice the images: first those of `one`, then those of `other`.

    Weight 1 for image i and 0 for image I + i takes the image's detections from `one`, and vice versa.
    """
    return Ranking.of(
        one.images + other.images,
        len(one.start) - 1,
        label=np.concatenate([one.label, other.label]),
        image=np.concatenate([one.image, other.image + np.int32(one.images)]),
        score=np.concatenate([one.score, other.score]),
        tp=np.concatenate([one.tp, other.tp]),
        ignored=np.concatenate([one.ignored, other.ignored]),
        iou=np.concatenate([one.iou, other.iou]) if len(one.iou) + len(other.iou) else None,
        object_label=np.concatenate([one.object_label, other.object_label]),
        object_image=np.concatenate([one.object_image, other.object_image + np.int32(one.images)]),
        thresholds=one.thresholds,
        tie=np.concatenate([one.image, other.image]),
    )


def _by_class(matches: Matches, valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the valid objects, class by class."""
    objects = np.flatnonzero(valid)
    return objects[np.argsort(matches.object_label[objects], kind="stable")]
