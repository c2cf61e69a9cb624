"""What a measure depends on, and no more: the ranked detections of each class, what they are, and whose image.

`Matches` become a ranking for each area range and max_dets; a counterfactual ("no detection were in the wrong class")
is a ranking of its own. Once they are rankings, all are resampled by the same kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.matching import Matches, MatchOutcome


class RankingSteps(NamedTuple):
    """A ranking as `kernels.weigh_curves` walks it, without what moves no curve.

    Detections that are ignored at all thresholds are left out, and so are those after a class's last true positive. A
    step is a detection that does more than raise the count of all thresholds: one found to be true, or ignored, at some
    threshold. Where an image has further detections of the same class and score beside a true one, all of them
    together are one step: the copies of the image follow each other, each with all of them.

    Attributes:
        start: (K + 1,) int64 class k's detections are ``start[k]:start[k + 1]``.
        image: (E,) int32.
        true, ignored: (E,) uint64 words of thresholds.
        step_start: (K + 1,) int64 class k's steps.
        step_first, step_last: (S,) int64 a step's detections are ``first:last``.
    """

    start: NDArray[np.int64]
    image: NDArray[np.int32]
    true: NDArray[np.uint64]
    ignored: NDArray[np.uint64]
    step_start: NDArray[np.int64]
    step_first: NDArray[np.int64]
    step_last: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranked detections of each class, and the objects that are asked for.

    Detections stand class by class, in a class by falling score, at equal score by image and then as they were given.

    Attributes:
        images: I.
        thresholds: T, at most 64.
        start: (K + 1,) int64 class k's detections are ``start[k]:start[k + 1]``.
        image: (D,) int32 in [0, I).
        score: (D,) float64.
        true: (D,) uint64 words: bit t says that at threshold t the detection found an object that is asked for.
        ignored: (D,) uint64 words: bit t says that at threshold t it counts neither for nor against; never a bit of
            `true`.
        iou: (D,) float64 of a true detection with its object; NaN of others. Empty where it depends on the threshold.
        object_start: (K + 1,) int64 class k's objects are ``object_start[k]:object_start[k + 1]``.
        object_image: (G,) int32 image of each object that is asked for.
    """

    images: int
    thresholds: int
    start: NDArray[np.int64]
    image: NDArray[np.int32]
    score: NDArray[np.float64]
    true: NDArray[np.uint64]
    ignored: NDArray[np.uint64]
    iou: NDArray[np.float64]
    object_start: NDArray[np.int64]
    object_image: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        images: int,
        classes: int,
        *,
        label: ArrayLike,
        image: ArrayLike,
        score: ArrayLike,
        true: ArrayLike,
        object_label: ArrayLike,
        object_image: ArrayLike,
        ignored: ArrayLike | None = None,
        iou: ArrayLike | None = None,
        thresholds: int = 1,
        tie: ArrayLike | None = None,
    ) -> Self:
        """A ranking of columns in any order; of equal label, score and image, the first given goes first.

        Args:
            images: I.
            classes: K.
            label: (D,) of each detection, as are those up to `true`.
            image: (D,).
            score: (D,).
            true: (D,) words, or flags where there is one threshold.
            object_label: (G,) of each object that is asked for.
            object_image: (G,) likewise.
            ignored: (D,) words or flags; by default nothing is ignored.
            iou: (D,) of each true detection; see `Ranking`.
            thresholds: T.
            tie: (D,) of equal scores, the smaller goes first; by default the image.
        """
        labels, pictures, scores = np.asarray(label), np.asarray(image), np.asarray(score, np.float64)
        order = np.lexsort((pictures if tie is None else np.asarray(tie), -scores, labels))
        wanted = np.asarray(object_label)
        by_class = np.argsort(wanted, kind="stable")
        edges = np.arange(classes + 1)
        words = np.zeros(len(labels), np.uint64) if ignored is None else np.asarray(ignored).astype(np.uint64)
        return cls(
            images,
            thresholds,
            np.searchsorted(labels[order], edges),
            pictures[order].astype(np.int32),
            scores[order],
            np.asarray(true).astype(np.uint64)[order],
            words[order],
            np.zeros(0) if iou is None else np.asarray(iou, np.float64)[order],
            np.searchsorted(wanted[by_class], edges),
            np.asarray(object_image)[by_class].astype(np.int32),
        )

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """(D,) class of each detection."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @cached_property
    def pooled(self) -> Ranking:
        """The same as one class of all."""
        return Ranking.of(
            self.images,
            1,
            label=np.zeros(len(self.image), np.int64),
            image=self.image,
            score=self.score,
            true=self.true,
            ignored=self.ignored,
            iou=self.iou if len(self.iou) else None,
            object_label=np.zeros(len(self.object_image), np.int64),
            object_image=self.object_image,
            thresholds=self.thresholds,
        )

    @cached_property
    def ends(self) -> NDArray[np.bool_]:
        """(D,) whether a run of equal scores of a class ends here that has a true positive."""
        count = len(self.score)
        last = np.ones(count, np.bool_)
        last[:-1] = (self.score[1:] != self.score[:-1]) | (self.label[1:] != self.label[:-1])
        end = np.flatnonzero(last)
        first = np.append(0, end[:-1] + 1)
        last[end] = np.logical_or.reduceat(self.true != 0, first) if count else False
        return last

    @cached_property
    def steps(self) -> RankingSteps:
        """The ranking as the kernel walks it."""
        every = np.uint64((1 << self.thresholds) - 1)
        counts = self.ignored != every
        columns = (self.label, self.image, self.score, self.true, self.ignored)
        label, image, score, true, ignored = (column[counts] for column in columns)
        classes = len(self.start) - 1

        fresh = np.ones(len(image), np.bool_)
        fresh[1:] = (image[1:] != image[:-1]) | (score[1:] != score[:-1]) | (label[1:] != label[:-1])
        first = np.flatnonzero(fresh)
        last = np.append(first[1:], len(image))
        has_true = np.logical_or.reduceat(true != 0, first) if len(first) else np.zeros(0, np.bool_)
        tied = has_true & (last - first > 1)
        alone = np.flatnonzero(((true | ignored) != 0) & ~np.repeat(tied, last - first))
        step_first = np.concatenate([first[tied], alone])
        step_last = np.concatenate([last[tied], alone + 1])
        order = np.argsort(step_first)
        step_first, step_last = step_first[order], step_last[order]

        step_start = np.searchsorted(label[step_first], np.arange(classes + 1))
        end = np.zeros(classes, np.int64)  # of each class's last step; what follows moves no curve
        some = step_start[1:] > step_start[:-1]
        end[some] = step_last[step_start[1:][some] - 1]
        kept = np.arange(len(image)) < end[label]
        place = np.cumsum(kept) - 1
        step_first, step_last = place[step_first], place[step_last - 1] + 1
        return RankingSteps(
            np.searchsorted(label[kept], np.arange(classes + 1)),
            image[kept],
            true[kept],
            ignored[kept],
            step_start,
            step_first,
            step_last,
        )


def rank_detections(matches: Matches, area: str | None = None, max_dets: int | None = None) -> Ranking:
    """The ranking of all of a rule's thresholds, in one area range, up to one max_dets.

    Args:
        matches: of one run.
        area: one of ``matches.rule.areas``, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Raises:
        InputError: the rule has no such range, or its largest max_dets is smaller.
    """
    rule = matches.rule
    index, most = rule.area_index(area or rule.areas[0]), rule.max_dets_or_largest(max_dets)
    asked = (matches.valid >> np.uint64(index)) & np.uint64(1) == 1
    found_asked = asked[matches.pair_object]
    true, ignored = np.zeros((2, len(matches.detections)), np.uint64)
    for word, part in ((true, found_asked), (ignored, ~found_asked)):
        np.bitwise_or.at(word, matches.pair_row[part], matches.pair_bits[part, index])
    every = np.uint64((1 << len(rule.iou_thresholds)) - 1)
    inside = (matches.inside >> index) & 1 == 1
    ignored = np.where(inside, ignored, every & ~true)

    kept = slice(None) if most == rule.max_dets[-1] else matches.rank < most
    row, label = matches.row[kept], matches.label[kept]
    objects = np.flatnonzero(asked)
    objects = objects[np.argsort(matches.object_label[objects], kind="stable")]
    edges = np.arange(len(matches.classes) + 1)
    return Ranking(
        len(matches.truth.catalog.image_ids),
        len(rule.iou_thresholds),
        np.searchsorted(label, edges),
        matches.detections.image[row],
        matches.detections.score[row],
        true[row],
        ignored[row],
        np.zeros(0),
        np.searchsorted(matches.object_label[objects], edges),
        matches.truth.image[objects],
    )


def rank_outcome(outcome: MatchOutcome, matches: Matches) -> Ranking:
    """The track of one threshold, with the IoU of what was found.

    Args:
        outcome: of ``matches.at``.
        matches: of one run.
    """
    asked = np.flatnonzero(outcome.valid)
    asked = asked[np.argsort(matches.object_label[asked], kind="stable")]
    return Ranking(
        len(matches.truth.catalog.image_ids),
        1,
        outcome.start,
        outcome.image,
        outcome.score,
        outcome.tp.astype(np.uint64),
        outcome.ignored.astype(np.uint64),
        np.where(outcome.tp, outcome.iou, np.nan),
        np.searchsorted(matches.object_label[asked], np.arange(len(matches.classes) + 1)),
        matches.truth.image[asked],
    )


def merge_rankings(one: Ranking, other: Ranking) -> Ranking:
    """Both rankings as one of twice the images: those of `one`, and then the same images with the detections of `other`.

    A weight of 1 for image i and 0 for image I + i takes the image as `one` sees it, and the other way round.
    """
    return Ranking.of(
        one.images + other.images,
        len(one.start) - 1,
        label=np.concatenate([one.label, other.label]),
        image=np.concatenate([one.image, other.image + np.int32(one.images)]),
        score=np.concatenate([one.score, other.score]),
        true=np.concatenate([one.true, other.true]),
        ignored=np.concatenate([one.ignored, other.ignored]),
        iou=np.concatenate([one.iou, other.iou]) if len(one.iou) + len(other.iou) else None,
        object_label=np.concatenate([_object_label(one), _object_label(other)]),
        object_image=np.concatenate([one.object_image, other.object_image + np.int32(one.images)]),
        thresholds=one.thresholds,
        tie=np.concatenate([one.image, other.image]),
    )


def _object_label(ranking: Ranking) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(ranking.object_start) - 1), np.diff(ranking.object_start))
