"""A run under many weights at once: what the kernels say, block by block of resamples, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches, MatchRule
from metrics.resampling.rankings import Ranking, merge_rankings, rank_detections, rank_outcome
from metrics.resampling.weights import Weights, leave_one_out_weights

if TYPE_CHECKING:
    from metrics.measures.error_types import ErrorTypes, Fixable

T = TypeVar("T")

Lanes = NDArray[np.float64]
"""(..., L): the last axis is the resample."""


class RunRankings:
    """The rankings of one run, each made when it is first asked for and then kept.

    Args:
        matches: of the run.
    """

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        self._made: dict[Hashable, Ranking] = {}
        self._errors: dict[Hashable, ErrorTypes] = {}

    @property
    def rule(self) -> MatchRule:
        """Under which the run was matched."""
        return self.matches.rule

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return self.matches.classes

    def over_thresholds(self, area: str, max_dets: int) -> Ranking:
        """All thresholds; see `metrics.resampling.rankings.rank_detections`."""
        return self.kept("ranked", area, max_dets)

    def at(self, iou: float, area: str, max_dets: int) -> Ranking:
        """One threshold, with the IoU of what was found."""
        return self.kept("at", iou, area, max_dets)

    def fixed(self, kind: Fixable, iou: float, background: float, area: str, max_dets: int) -> Ranking:
        """One threshold, if all errors of a kind were mended: see `metrics.measures.error_types`."""
        return self.kept("fixed", kind, iou, background, area, max_dets)

    def kept(self, name: str, *settings: Any) -> Ranking:
        """The ranking of these settings; made the first time."""
        key = (name, *settings)
        if key not in self._made:
            self._made[key] = self.make(name, *settings)
        return self._made[key]

    def make(self, name: str, *settings: Any) -> Ranking:
        """The ranking of these settings."""
        if name == "ranked":
            return rank_detections(self.matches, *settings)
        if name == "at":
            return rank_outcome(self.matches.at(*settings), self.matches)
        from metrics.measures.error_types import classify_errors

        kind, *rest = settings
        if tuple(rest) not in self._errors:
            self._errors[tuple(rest)] = classify_errors(self.matches, *rest)
        return rank_outcome(self._errors[tuple(rest)].fixed(kind), self.matches)


class SwappedRankings(RunRankings):
    """Two runs as one of twice the images: image i as `one` sees it, image I + i as `other` does.

    Args:
        one: a run.
        other: another, of the same truth.
    """

    def __init__(self, one: RunRankings, other: RunRankings) -> None:
        super().__init__(one.matches)
        self.one, self.other = one, other

    def make(self, name: str, *settings: Any) -> Ranking:
        """Both runs' rankings as one."""
        return merge_rankings(self.one.kept(name, *settings), self.other.kept(name, *settings))


class Block:
    """One run under `LANES` rows of weights; what a kernel says of a ranking is computed once and shared.

    Args:
        rankings: of the run.
        weights: (I, LANES) uint8.
    """

    def __init__(self, rankings: RunRankings, weights: NDArray[np.uint8]) -> None:
        self.rankings = rankings
        self.weights = weights
        self._known: dict[Hashable, object] = {}

    def positives(self, ranking: Ranking) -> Lanes:
        """(K, L) objects that are asked for."""
        from metrics.resampling import kernels

        def weigh() -> Lanes:
            positives = np.empty((len(ranking.start) - 1, kernels.LANES))
            count = np.empty(kernels.LANES, np.int32)
            kernels.weigh_objects(self.weights, ranking.object_start, ranking.object_image, count, positives)
            return positives

        return self._once(("positives", id(ranking)), weigh)

    def curves(self, ranking: Ranking, levels: int) -> tuple[Lanes, Lanes]:
        """(K, T, L) average precision over so many recall levels (0: all recalls), and (K, T, L) final recall."""
        from metrics.resampling import kernels

        def weigh() -> tuple[Lanes, Lanes]:
            lanes = kernels.LANES
            precision = np.empty((len(ranking.start) - 1, ranking.thresholds, lanes))
            recall = np.empty_like(precision)
            kernels.weigh_curves(
                self.weights,
                self.positives(ranking),
                *ranking.steps,
                levels,
                np.empty(lanes, np.int32),
                *np.empty((2, lanes)),
                *np.empty((4, ranking.thresholds, lanes)),
                precision,
                recall,
            )
            return precision, recall

        return self._once(("curves", id(ranking), levels), weigh)

    def envelope(self, ranking: Ranking, levels: int) -> Lanes:
        """(K, levels, L) best precision at each recall level or beyond; `ranking` is of one IoU."""
        from metrics.resampling import kernels

        def weigh() -> Lanes:
            lanes, steps = kernels.LANES, ranking.steps
            precision = np.empty((len(ranking.start) - 1, levels, lanes))
            kernels.weigh_precision(
                self.weights,
                self.positives(ranking),
                steps.start,
                steps.image,
                steps.true,
                steps.step_start,
                steps.step_first,
                steps.step_last,
                np.empty(lanes, np.int32),
                *np.empty((2, lanes)),
                precision,
            )
            return precision

        return self._once(("envelope", id(ranking), levels), weigh)

    def counts(self, ranking: Ranking, threshold: int, score: float) -> tuple[Lanes, Lanes]:
        """(K, L) true and (K, L) false positives of this score or above, at one threshold."""
        from metrics.resampling import kernels

        def weigh() -> tuple[Lanes, Lanes]:
            first = ranking.start[:-1]
            kept = np.concatenate([[0], np.cumsum(ranking.score >= score)])  # a class's scores fall
            last = first + kept[ranking.start[1:]] - kept[first]
            found, false = np.empty((2, len(first), kernels.LANES))
            columns = (ranking.image, ranking.true, ranking.ignored)
            kernels.weigh_detections(self.weights, first, last, *columns, threshold, found, false)
            return found, false

        return self._once(("counts", id(ranking), threshold, score), weigh)

    def best(self, ranking: Ranking, iou: float) -> tuple[Lanes, Lanes]:
        """(K, L) least LRP error and (K, L) greatest F1 that a score threshold reaches; `ranking` is of this one IoU."""
        from metrics.resampling import kernels

        def weigh() -> tuple[Lanes, Lanes]:
            true = ranking.true != 0
            loss = np.where(true, (1 - ranking.iou) / (1 - iou), 0.0)
            scratch = np.empty((3, kernels.LANES))
            least, most = np.empty((2, len(ranking.start) - 1, kernels.LANES))
            columns = (ranking.start, ranking.image, ranking.true, ranking.ignored, loss, ranking.ends)
            kernels.weigh_thresholds(self.weights, self.positives(ranking), *columns, *scratch, least, most)
            return least, most

        return self._once(("best", id(ranking), iou), weigh)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]  # type: ignore[return-value]  # a key names one kind of result


@dataclass(frozen=True, eq=False)
class Statistic:
    """A measure as a function of how often each image counts.

    Attributes:
        name: as a user types it: ``ap50``.
        better: which way is better.
        of_classes: a `Block` to (K, L), NaN where a class has nothing to measure.
        of_all: a `Block` to (L,); by default the mean of the classes that have something to measure.
        area: the rule's area range whose objects are asked for; by default the first.
    """

    name: str
    better: Literal["higher", "lower"]
    of_classes: Callable[[Block], Lanes]
    of_all: Callable[[Block], Lanes] | None = None
    area: str | None = None

    def overall(self, block: Block) -> Lanes:
        """(L,) of all classes together."""
        return self.of_all(block) if self.of_all else class_mean(self.of_classes(block))


def class_mean(values: Lanes) -> Lanes:
    """(K, L) to (L,): the mean of what is not NaN; NaN where all is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0))


@dataclass(frozen=True, eq=False)
class Replicates:
    """A statistic of one run, as it is and under each row of weights.

    Attributes:
        statistic: what was measured.
        estimate: under weights of 1; NaN where there is nothing to measure.
        values: (B,) under each row.
        class_estimate: (K,).
        class_values: (B, K).
    """

    statistic: Statistic
    estimate: float
    values: NDArray[np.float64]
    class_estimate: NDArray[np.float64]
    class_values: NDArray[np.float64]


def replicate(rankings: RunRankings, weights: Weights, statistics: Sequence[Statistic]) -> list[Replicates]:
    """Statistics of a run as it is and under each row of weights, all from one walk over its rankings.

    The value under a row is what evaluating a data set would give in which each image stands as often as the row says,
    its copies side by side.

    Args:
        rankings: of the run.
        weights: (B, I) whole numbers of at most 255.
        statistics: what to measure.

    Raises:
        InputError: weights of another number of images.
    """
    images = len(rankings.matches.truth.catalog.image_ids)
    if weights.ndim != 2 or weights.shape[1] != images:
        raise InputError(f"weights: expected shape (B, {images}), one column per image, got {weights.shape}")
    rows = np.concatenate([np.ones((1, images), np.uint8), weights])
    return [
        Replicates(statistic, float(values[0]), values[1:], class_values[0], class_values[1:])
        for statistic, (values, class_values) in zip(
            statistics, weigh(rankings, rows, statistics), strict=True
        )
    ]


def leave_out(
    rankings: RunRankings, unit: NDArray[np.intp], statistics: Sequence[Statistic]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each statistic without each unit: (U,) of all classes together, and (U, K).

    Args:
        rankings: of the run.
        unit: (I,) index in [0, U) of each image's unit.
        statistics: what to measure.
    """
    units = int(unit.max()) + 1
    step = 1024  # rows at a time: a table of all would grow with the square of the images
    parts = [
        weigh(rankings, leave_one_out_weights(unit, first, min(first + step, units)), statistics)
        for first in range(0, units, step)
    ]
    return [
        tuple(np.concatenate(values) for values in zip(*of_statistic, strict=True))  # type: ignore[misc]
        for of_statistic in zip(*parts, strict=True)
    ]


def weigh(
    rankings: RunRankings, weights: Weights, statistics: Sequence[Statistic]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each statistic under each row of weights: (B,) of all classes together, and (B, K).

    Args:
        rankings: of the run.
        weights: (B, I); of `SwappedRankings` (B, 2 I).
        statistics: what to measure.
    """

    def measure(block: Block, lanes: int) -> list[tuple[Lanes, Lanes]]:
        return [
            (statistic.overall(block)[:lanes], statistic.of_classes(block)[:, :lanes].T.copy())
            for statistic in statistics
        ]

    blocks = block_by_block(rankings, weights, measure)
    return [
        tuple(np.concatenate(parts) for parts in zip(*of_statistic, strict=True))  # type: ignore[misc]
        for of_statistic in zip(*blocks, strict=True)
    ]


def block_by_block(rankings: RunRankings, weights: Weights, measure: Callable[[Block, int], T]) -> list[T]:
    """What `measure` says of each block of rows, in their order; blocks go to all cores.

    Args:
        rankings: of the run.
        weights: (B, I).
        measure: given a block, and how many of its lanes are rows.
    """
    from metrics.kernels.threads import for_each
    from metrics.resampling.kernels import LANES

    def measured(first: int) -> T:
        part = weights[first : first + LANES]
        table = np.zeros((part.shape[1], LANES), np.uint8)
        table[:, : len(part)] = part.T
        return measure(Block(rankings, table), len(part))

    starts = range(0, len(weights), LANES)
    # The first block is measured alone: it makes the rankings, which threads then share.
    return [measured(first) for first in starts[:1]] + for_each(measured, starts[1:])
