"""Reliability: of the detections of about the same score, how many are right?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas

Binning = Literal["quantile", "equal_width"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often detections of about the same score are right: one row for each bin of scores.

    Attributes:
        low: (M,) scores of bin m are above ``low[m]``; the first bin has its lower end, too.
        high: (M,) and up to ``high[m]``.
        count: (M,) int64 detections.
        true: (M,) int64 true positives among them.
        score: (M,) mean score; NaN in an empty bin, as are all that follow.
        precision: (M,) true / count.
        precision_low: (M,) Wilson's interval of the precision, if detections were independent.
        precision_high: (M,) its other end.
        iou: (M,) mean IoU of the true positives; NaN where there is none.
        confidence: of the interval.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]
    true: NDArray[np.int64]
    score: NDArray[np.float64]
    precision: NDArray[np.float64]
    precision_low: NDArray[np.float64]
    precision_high: NDArray[np.float64]
    iou: NDArray[np.float64]
    confidence: float

    @property
    def error(self) -> float:
        """Mean distance of precision and score, each bin weighed by its detections (D-ECE); NaN without detections."""
        total = int(self.count.sum())
        return (
            float(np.nansum(self.count * np.abs(self.precision - self.score)) / total) if total else math.nan
        )

    def to_frame(self) -> pandas.DataFrame:
        """One row per bin, with a column for each attribute but the confidence."""
        import pandas

        columns = [name for name in self.__dataclass_fields__ if name != "confidence"]
        return pandas.DataFrame({name: getattr(self, name) for name in columns})


class ScoredDetections(NamedTuple):
    """Detections that count, with what they should have been scored.

    Attributes:
        row: (D,) in the table of detections.
        label: (D,).
        score: (D,) in [0, 1].
        true: (D,) whether it found an object that is asked for.
        iou: (D,) IoU with that object; 0 where it found none.
    """

    row: NDArray[np.int32]
    label: NDArray[np.int32]
    score: NDArray[np.float64]
    true: NDArray[np.bool_]
    iou: NDArray[np.float64]


def reliability(
    matches: Matches,
    iou: float | None = None,
    bins: int = 10,
    binning: Binning = "quantile",
    label: int | None = None,
    floor: float = 0.0,
    area: str | None = None,
    confidence: float = 0.95,
) -> Reliability:
    """The reliability table: in each bin of scores the mean score, and how many detections are right.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds, the first where None.
        bins: how many; by quantiles fewer where scores are equal.
        binning: ``quantile``: about equally many detections in each bin. ``equal_width``: bins of equal width in
            [0, 1], of which with most detectors nearly all but the first are nearly empty; its `error` is D-ECE.
        label: class index; all classes pooled where None.
        floor: detections below this score are left out.
        area: one of the rule's area ranges, the first where None.
        confidence: of Wilson's interval.

    Raises:
        InputError: the rule does not have the threshold or range, there is no such class, scores are not in [0, 1],
            or bins and confidence make no sense.
    """
    if binning not in get_args(Binning):
        raise InputError(f"binning: unknown {binning!r}{did_you_mean(binning, get_args(Binning))}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number in (0, 1), got {confidence}")
    if label is not None and not 0 <= label < len(matches.classes):
        raise InputError(f"label: expected a class index in [0, {len(matches.classes)}), got {label}")
    if wrong := describe_out_of_range(matches):
        raise InputError(f"scores: {wrong}; scores that are no probabilities are not calibrated")
    at = scored_detections(matches, matches.rule.iou_thresholds[0] if iou is None else iou, area, floor)
    chosen = np.ones(len(at.row), np.bool_) if label is None else at.label == label
    score, true, overlap = at.score[chosen], at.true[chosen], at.iou[chosen]
    edges = equal_edges(bins)
    if binning == "quantile":
        edges = _quantiles(score, edges)
    place, size = bin_of(score, edges), max(len(edges) - 1, 0)
    count, hits = np.bincount(place, minlength=size), np.bincount(place, true, size).astype(np.int64)
    precision = ratio(hits, count)
    low, high = wilson_interval(hits, count, confidence)
    return Reliability(
        low=edges[:-1],
        high=edges[1:],
        count=count,
        true=hits,
        score=ratio(np.bincount(place, score, size), count),
        precision=precision,
        precision_low=low,
        precision_high=high,
        iou=ratio(np.bincount(place, np.where(true, overlap, 0), size), hits),
        confidence=confidence,
    )


def scored_detections(
    matches: Matches, iou: float, area: str | None = None, floor: float | NDArray[np.float64] = 0.0
) -> ScoredDetections:
    """The detections that count, with the IoU of what they found.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges, the first where None.
        floor: detections below this score are left out; (K,) one for each class.
    """
    outcome = matches.at(iou, area or matches.rule.areas[0])
    floors = np.broadcast_to(floor, len(matches.classes))
    kept = ~outcome.ignored & (outcome.score >= floors[outcome.label])
    return ScoredDetections(
        outcome.row[kept],
        outcome.label[kept],
        outcome.score[kept],
        outcome.tp[kept],
        np.where(outcome.tp, np.minimum(outcome.iou, 1.0), 0.0)[kept],
    )


def wilson_interval(
    true: NDArray[np.int64], count: NDArray[np.int64], confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's interval of a share, without continuity correction (Wilson 1927).

    Args:
        true: (M,) successes.
        count: (M,) trials.
        confidence: of the interval, in (0, 1).

    Returns:
        (M,) low and (M,) high; NaN without trials.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = ratio(true, count)
    trials = np.where(count > 0, count, 1)
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # The share lies within, also where it is 0 or 1 and rounding would leave it just outside.
    return np.clip(middle - half, 0.0, share), np.clip(middle + half, share, 1.0)


def bin_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value: above its lower edge, up to its upper one; beyond either end the bin at that end."""
    place = np.searchsorted(edges, values, side="left") - 1
    return np.clip(place, 0, max(len(edges) - 2, 0)).astype(np.int64)


def equal_edges(bins: int) -> NDArray[np.float64]:
    """(bins + 1,) from 0 to 1, each the float nearest to its fraction.

    Raises:
        InputError: there is to be no bin.
    """
    if bins < 1:
        raise InputError(f"bins: expected at least 1, got {bins}")
    return np.arange(bins + 1) / bins


def describe_out_of_range(matches: Matches) -> str:
    """How many scores are not in [0, 1], in words; empty where all are."""
    outside = (matches.score < 0) | (matches.score > 1)
    if not outside.any():
        return ""
    first = float(matches.score[outside][0])
    return f"{int(outside.sum())} of {len(outside)} scores are not in [0, 1], the first is {first:g}"


def ratio(part: NDArray[np.generic], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Part over whole, NaN where the whole is 0."""
    values = np.full(len(whole), np.nan)
    np.divide(part, whole, out=values, where=whole > 0)
    return values


def _quantiles(score: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges, all of them scores that occur, between which about equally many lie; fewer where scores are equal."""
    if not len(score):
        return np.zeros(0)
    edges = np.unique(np.quantile(score, shares, method="inverted_cdf"))
    return np.repeat(edges, 2) if len(edges) == 1 else edges
