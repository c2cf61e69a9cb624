"""Reliability tables: precision of detections by score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.plurals import agree, plural
from metrics.ratios import ratio
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Reliability",
    "ScoredDetections",
    "check_scores",
    "describe_out_of_range",
    "reliability",
    "scored_detections",
    "wilson_interval",
]

Binning = Literal["quantile", "equal_width"]


@dataclass(frozen=True, eq=False, repr=False)
class Reliability:
    """Precision of detections by score, one row per bin of scores.

    Attributes:
        low: (M,) lower edges; a bin excludes its lower edge, except the first.
        high: (M,) upper edges, inclusive.
        count: (M,) int64 detections.
        tp: (M,) int64 true positives.
        score: (M,) mean score; NaN in an empty bin, as the following columns.
        precision: (M,) tp / count.
        precision_low: (M,) lower end of Wilson's interval of the precision, assuming independent detections.
        precision_high: (M,) upper end.
        iou: (M,) mean IoU of the true positives; NaN without any.
        confidence: level of the interval.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]
    tp: NDArray[np.int64]
    score: NDArray[np.float64]
    precision: NDArray[np.float64]
    precision_low: NDArray[np.float64]
    precision_high: NDArray[np.float64]
    iou: NDArray[np.float64]
    confidence: float

    def __repr__(self) -> str:
        return f"Reliability({plural(len(self.count), 'bin')}, {plural(int(self.count.sum()), 'detection')}; error {self.error:.4f})"

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.to_frame().round(4).to_html(index=False)

    @property
    def error(self) -> float:
        """Mean of |precision - score| over bins, weighted by detections (D-ECE); NaN without detections."""
        total = int(self.count.sum())
        gap = np.nansum(self.count * np.abs(self.precision - self.score))
        return float(gap / total) if total else math.nan

    def to_frame(self) -> pandas.DataFrame:
        """Return one row per bin, with a column for each attribute except the confidence; `tp` is called ``true``."""
        import pandas

        columns = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "confidence"}
        return pandas.DataFrame(columns).rename(columns={"tp": "true"})


class ScoredDetections(NamedTuple):
    """Detections that count (not ignored), with the values their scores should predict.

    Attributes:
        row: (D,) row in the table of detections.
        label: (D,) class.
        score: (D,) in [0, 1].
        tp: (D,) whether the detection is a true positive.
        iou: (D,) IoU with its object; 0 for false positives.
    """

    row: NDArray[np.int32]
    label: NDArray[np.int32]
    score: NDArray[np.float64]
    tp: NDArray[np.bool_]
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
    """Compute mean score and precision in bins of scores.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds, by default the first.
        bins: number of bins; with quantiles fewer where scores are equal.
        binning: ``quantile``: about equally many detections per bin. ``equal_width``: bins of equal width in [0, 1], nearly
            all of them nearly empty for most detectors; their `error` is D-ECE.
        label: class index; by default all classes pooled.
        floor: detections below this score are left out.
        area: one of the rule's area ranges, by default the first.
        confidence: level of Wilson's interval.

    Raises:
        InputError: the rule does not have the threshold or area range, there is no such class, scores are outside [0, 1], or
            invalid bins or confidence.
    """
    if binning not in get_args(Binning):
        raise InputError(f"binning: unknown {binning!r}{did_you_mean(binning, get_args(Binning))}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number in (0, 1), got {confidence}")
    if label is not None and not 0 <= label < len(matches.classes):
        raise InputError(f"label: expected a class index in [0, {len(matches.classes)}), got {label}")
    check_scores(matches)
    scored = scored_detections(matches, matches.rule.iou_thresholds[0] if iou is None else iou, area, floor)
    chosen = np.ones(len(scored.row), np.bool_) if label is None else scored.label == label
    score, hit, overlap = scored.score[chosen], scored.tp[chosen], scored.iou[chosen]
    edges = equal_edges(bins)
    if binning == "quantile":
        edges = _quantiles(score, edges)
    index, size = bin_index(score, edges), max(len(edges) - 1, 0)
    count, tp = np.bincount(index, minlength=size), np.bincount(index, hit, size).astype(np.int64)
    low, high = wilson_interval(tp, count, confidence)
    return Reliability(
        low=edges[:-1],
        high=edges[1:],
        count=count,
        tp=tp,
        score=ratio(np.bincount(index, score, size), count),
        precision=ratio(tp, count),
        precision_low=low,
        precision_high=high,
        iou=ratio(np.bincount(index, np.where(hit, overlap, 0), size), tp),
        confidence=confidence,
    )


def scored_detections(
    matches: Matches, iou: float, area: str | None = None, floor: float | NDArray[np.float64] = 0.0
) -> ScoredDetections:
    """Return the detections that count, with the IoU of their match.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges, by default the first.
        floor: detections below this score are left out; one number, or (K,) one per class.
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
    successes: NDArray[np.int64], trials: NDArray[np.int64], confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's interval of a proportion, without continuity correction (Wilson 1927).

    Args:
        successes: (M,).
        trials: (M,).
        confidence: level of the interval, in (0, 1).

    Returns:
        (M,) low and (M,) high; NaN without trials.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = ratio(successes, trials)
    count = np.where(trials > 0, trials, 1)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # The proportion is inside, also at 0 or 1, where rounding could put it just outside.
    return np.clip(middle - half, 0.0, share), np.clip(middle + half, share, 1.0)


def bin_index(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each value: above its lower edge, up to its upper edge; values outside go to the outermost bins."""
    index = np.searchsorted(edges, values, side="left") - 1
    return np.clip(index, 0, max(len(edges) - 2, 0)).astype(np.int64)


def equal_edges(bins: int) -> NDArray[np.float64]:
    """Return the (bins + 1,) edges of bins of equal width in [0, 1].

    Raises:
        InputError: less than one bin.
    """
    if bins < 1:
        raise InputError(f"bins: expected at least 1, got {bins}")
    return np.arange(bins + 1) / bins


def describe_out_of_range(matches: Matches) -> str:
    """Describe the scores outside [0, 1]; empty if there are none."""
    outside = (matches.score < 0) | (matches.score > 1)
    if not outside.any():
        return ""
    first = float(matches.score[outside][0])
    return f"{outside.sum():,} of {plural(len(outside), 'score')} {agree(outside.sum(), 'is', 'are')} not in [0, 1], the first is {first:g}"


def check_scores(matches: Matches) -> None:
    """Raise an `InputError` if scores are outside [0, 1]."""
    if problem := describe_out_of_range(matches):
        raise InputError(f"scores: {problem}; calibration needs scores that are probabilities")


def _quantiles(score: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges, all of them existing scores, with about equally many scores between; fewer where scores are equal."""
    if not len(score):
        return np.zeros(0)
    edges = np.unique(np.quantile(score, shares, method="inverted_cdf"))
    return np.repeat(edges, 2) if len(edges) == 1 else edges
