"""Calibration errors of detection scores.

A score is calibrated if it equals the precision of detections with that score (D-ECE), or if it predicts the quality of the
box (LaECE, LaACE). Scores of detectors trained with different losses are not comparable, so one score threshold for all
detectors is unfair: compare each at its best threshold.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.matching import Matches, match
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure, overall_values
from metrics.plurals import plural
from metrics.ratios import mean_defined, ratio
from metrics.registry import did_you_mean
from metrics.reliability import (
    ScoredDetections,
    bin_index,
    check_scores,
    describe_out_of_range,
    equal_edges,
    scored_detections,
)

SOURCE = (
    "Küppers et al. 2020 (arXiv:2004.13546), D-ECE; Oksuz et al. 2023 (arXiv:2307.00934), LaECE;"
    " Kuzucu et al. 2024 (arXiv:2405.20459), LaECE0 and LaACE0"
)

BinAxis = Literal["score", "cx", "cy", "w", "h"]
"""Quantity to bin detections by: score, or centre, width and height relative to the image."""

ScoreThresholds = float | Sequence[float] | NDArray[np.float64] | Mapping[str, float]

ANY_OVERLAP = 1e-300
"""IoU threshold that every pair of overlapping boxes reaches."""


@measure("calibration", better="lower", source=SOURCE)
def calibration(
    matches: Matches,
    iou: float | None = None,
    floor: float = 0.0,
    thresholds: ScoreThresholds | None = None,
    bins: int = 10,
    localization_bins: int = 25,
    area: str | None = None,
) -> list[Value]:
    """Calibration errors: D-ECE of scores against precision, LaECE and LaACE of scores against box quality.

    - ``d_ece``: mean of |precision - mean score| over bins of equal width, weighted by detections. Over all classes,
      detections are pooled.
    - ``la_ece``: mean of |precision * mean IoU of true positives - mean score| in the same way, then over classes.
    - ``la_ece0``, ``la_ace0``: every detection that overlaps an object of its class is a true positive (one per object), and
      the score should equal the IoU; over bins, and per detection without bins. Mean over classes. The authors keep only
      detections at or above the LRP-optimal score of another split: pass these as `thresholds` (from `optimal_lrp` on that
      split). Without them, the many low-scoring detections dominate the value.

    Ignored detections are left out, and so are classes without remaining detections.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds for ``d_ece`` and ``la_ece``, by default the first.
        floor: detections below this score are left out. A detector that reports fewer of them looks better calibrated:
            compare detectors at the same floor, and state it.
        thresholds: score thresholds for ``la_ece0`` and ``la_ace0``: one number, one per class in order, or by class name;
            NaN leaves out all detections of a class.
        bins: number of bins of ``d_ece``.
        localization_bins: number of bins of ``la_ece`` and ``la_ece0``.
        area: one of the rule's area ranges, by default the first.

    Returns:
        NaN without detections, and if scores are outside [0, 1].

    Warns:
        InputWarning: scores are outside [0, 1].
    """
    iou = matches.rule.iou_thresholds[0] if iou is None else iou
    area, classes = area or matches.rule.areas[0], len(matches.classes)
    undefined = (math.nan, np.full(classes, math.nan))
    columns = dict.fromkeys(("d_ece", "la_ece", "la_ece0", "la_ace0"), undefined)
    if problem := describe_out_of_range(matches):
        message = f"calibration: {problem}; the value is undefined. Scores must be probabilities in [0, 1]"
        warnings.warn(message, InputWarning, stacklevel=3)
    else:
        at = scored_detections(matches, iou, area, floor)
        overlapping = scored_detections(
            _match_any_overlap(matches),
            min(matches.rule.iou_thresholds[0], ANY_OVERLAP),
            area,
            _floors(matches, floor, thresholds),
        )
        by_class = _binned_error(at, at.tp, at.label, classes, bins)
        pooled = _binned_error(at, at.tp, np.zeros_like(at.label), 1, bins)
        columns["d_ece"] = (float(pooled[0]), by_class)
        for name, scored in (("la_ece", at), ("la_ece0", overlapping)):
            by_class = _binned_error(scored, scored.iou, scored.label, classes, localization_bins)
            columns[name] = (mean_defined(by_class), by_class)
        gap = np.abs(overlapping.score - overlapping.iou)
        count = np.bincount(overlapping.label, minlength=classes)
        by_class = ratio(np.bincount(overlapping.label, gap, classes), count)
        columns["la_ace0"] = (mean_defined(by_class), by_class)
    texts = {"d_ece": iou_text([iou]), "la_ece": iou_text([iou]), "la_ece0": "0.00", "la_ace0": "0.00"}
    max_dets = matches.rule.max_dets[-1]
    of_classes = [
        ClassColumn(name, by_class, area, texts[name], max_dets, overall=overall)
        for name, (overall, by_class) in columns.items()
    ]
    return overall_values(of_classes) + class_values(of_classes, matches.classes, class_by_class=True)


def detection_calibration_error(
    matches: Matches,
    over: Sequence[BinAxis] = ("score",),
    iou: float | None = None,
    bins: int = 10,
    floor: float = 0.0,
    area: str | None = None,
) -> float:
    """Compute D-ECE over bins of score and, optionally, of position and size of the box; all classes pooled.

    Each axis has bins of equal width in [0, 1]; the lowest includes both ends, the others exclude their lower end. Values
    outside the image belong to the bin at its border.

    Args:
        matches: the matched detections.
        over: axes to bin detections by.
        iou: one of the rule's thresholds, by default the first.
        bins: number of bins of each axis.
        floor: detections below this score are left out.
        area: one of the rule's area ranges, by default the first.

    Returns:
        In [0, 1]; NaN without detections.

    Raises:
        InputError: an unknown axis, an image of unknown size, or scores outside [0, 1].

    Source: Küppers et al. 2020, Multivariate confidence calibration for object detection, section 3.
    """
    edges = equal_edges(bins)
    for axis in over:
        if axis not in get_args(BinAxis):
            raise InputError(f"over: unknown {axis!r}; known: {', '.join(get_args(BinAxis))}")
    check_scores(matches)
    scored = scored_detections(matches, matches.rule.iou_thresholds[0] if iou is None else iou, area, floor)
    cell = np.zeros(len(scored.row), np.int64)
    for axis in over:
        cell = cell * bins + bin_index(_along(matches, scored, axis), edges)
    cell = np.unique(cell, return_inverse=True)[1].astype(np.int64)
    gaps = np.abs(np.bincount(cell, scored.tp) - np.bincount(cell, scored.score))
    return float(gaps.sum() / len(cell)) if len(cell) else math.nan


def _binned_error(
    scored: ScoredDetections,
    target: NDArray[np.generic],
    group: NDArray[np.int32],
    groups: int,
    bins: int,
) -> NDArray[np.float64]:
    """Mean of |mean target - mean score| over bins of equal width, weighted by detections, for each group.

    With S the sum of scores and W the sum of targets, a bin of n detections contributes n / N * |W / n - S / n|.
    """
    cell = group.astype(np.int64) * bins + bin_index(scored.score, equal_edges(bins))
    gaps = np.bincount(cell, target, groups * bins) - np.bincount(cell, scored.score, groups * bins)
    return ratio(np.abs(gaps).reshape(groups, bins).sum(1), np.bincount(group, minlength=groups))


def _along(matches: Matches, scored: ScoredDetections, axis: BinAxis) -> NDArray[np.float64]:
    """(D,) coordinate of each detection along an axis, relative to the image."""
    if axis == "score":
        return scored.score
    image = matches.detections.image[scored.row]
    sizes = matches.truth.catalog.sizes[image]
    if (sizes <= 0).any():
        unknown = matches.truth.catalog.image_ids[image[np.argmin(sizes.min(1))]]
        raise InputError(f"over: {axis!r} needs image sizes, but the size of image {unknown!r} is unknown")
    x, y, width, height = matches.detections.xywh[scored.row].T
    value, side = {
        "cx": (x + width / 2, 1),
        "cy": (y + height / 2, 0),
        "w": (width, 1),
        "h": (height, 0),
    }[axis]
    return np.asarray(value / sizes[:, side])


def _match_any_overlap(matches: Matches) -> Matches:
    """The same detections matched at an IoU threshold of practically 0."""
    if matches.rule.iou_thresholds[0] <= ANY_OVERLAP:
        return matches
    return match(matches.truth, matches.detections, replace(matches.rule, iou_thresholds=(ANY_OVERLAP,)))


def _floors(matches: Matches, floor: float, thresholds: ScoreThresholds | None) -> NDArray[np.float64]:
    """(K,) score threshold of each class, at least `floor`."""
    classes = matches.classes
    if thresholds is None:
        return np.full(len(classes), float(floor))
    if isinstance(thresholds, Mapping):
        for name in thresholds:
            if name not in classes:
                raise InputError(f"thresholds: no class {name!r}{did_you_mean(name, classes)}")
        missing = [name for name in classes if name not in thresholds]
        if missing:
            raise InputError(
                f"thresholds: class {missing[0]!r} has none; give one for each of {plural(len(classes), 'class')}"
            )
        thresholds = [thresholds[name] for name in classes]
    given = np.asarray(thresholds, np.float64)
    if given.shape not in ((), (len(classes),)):
        raise InputError(
            f"thresholds: expected a number or {len(classes)}, one per class, got shape {given.shape}"
        )
    return np.maximum(np.broadcast_to(given, len(classes)), floor)
