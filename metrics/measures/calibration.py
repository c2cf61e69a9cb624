"""Do scores mean what they say? Calibration errors of detections, and reliability tables.

A score is calibrated if of the detections scored 0.7 seven in ten are right (D-ECE), or if it tells how well the box
fits (LaECE, LaACE). Detectors differ here by how they are trained: softmax and sigmoid scores of equal worth are not
equal, which is why one threshold for all detectors is unfair. Compare each at its own.
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
from metrics.measures import Value, iou_text, measure
from metrics.registry import did_you_mean
from metrics.reliability import (
    ScoredDetections,
    bin_of,
    describe_out_of_range,
    equal_edges,
    ratio,
    scored_detections,
)

SOURCE = (
    "Küppers et al. 2020 (arXiv:2004.13546), D-ECE; Oksuz et al. 2023 (arXiv:2307.00934), LaECE;"
    " Kuzucu et al. 2024 (arXiv:2405.20459), LaECE0 and LaACE0"
)

Axis = Literal["score", "cx", "cy", "w", "h"]
"""What detections are binned by: score, centre, width and height, these as parts of the image's."""

Scores = float | Sequence[float] | NDArray[np.float64] | Mapping[str, float]

TOUCH = 1e-300
"""An IoU threshold that all boxes reach which overlap at all."""


@measure("calibration", better="lower", source=SOURCE)
def calibration(
    matches: Matches,
    iou: float | None = None,
    floor: float = 0.0,
    thresholds: Scores | None = None,
    bins: int = 10,
    localization_bins: int = 25,
    area: str | None = None,
) -> list[Value]:
    """Calibration errors: D-ECE of scores as precision, LaECE and LaACE of scores as fit of the box.

    - ``d_ece``: over equally wide bins of score the mean of |precision - mean score|, weighed by detections. For all
      classes together detections are pooled.
    - ``la_ece``: likewise |precision * mean IoU of true positives - mean score|, mean over classes.
    - ``la_ece0``, ``la_ace0``: true is what overlaps an object of its class at all (one detection each), and the score
      should be the IoU: binned as above, or detection by detection, without bins. Mean over classes. Their authors
      keep only detections at or above the score at which LRP is least on another split: give those as `thresholds`,
      as `optimal_lrp` of that split gives them. Without, the many detections of low scores decide the number.

    Ignored detections are left out. Classes that have no detection left do not count.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds, the first where None: for ``d_ece`` and ``la_ece``.
        floor: detections below this score are left out. A detector that reports fewer of those looks better
            calibrated: compare detectors at one floor, and print it.
        thresholds: for ``la_ece0`` and ``la_ace0``, see there: one score, or one for each class in their order or by
            name; a class whose score is NaN keeps nothing.
        bins: of ``d_ece``.
        localization_bins: of ``la_ece`` and ``la_ece0``.
        area: one of the rule's area ranges, the first where None.

    Returns:
        NaN where there are no detections, and, with a warning, where scores are not in [0, 1].
    """
    threshold = matches.rule.iou_thresholds[0] if iou is None else iou
    where, classes = area or matches.rule.areas[0], len(matches.classes)
    columns: dict[str, tuple[float, NDArray[np.float64], str]] = {}
    wrong = describe_out_of_range(matches)
    if not wrong:
        at = scored_detections(matches, threshold, where, floor)
        touching = scored_detections(
            _at_zero(matches), _lowest(matches), where, _floors(matches, floor, thresholds)
        )
        by_class = _binned_error(at, at.true, at.label, classes, bins)
        pooled = _binned_error(at, at.true, np.zeros_like(at.label), 1, bins)
        columns["d_ece"] = (float(pooled[0]), by_class, iou_text([threshold]))
        for name, detections, text in (("la_ece", at, iou_text([threshold])), ("la_ece0", touching, "0.00")):
            fit = _binned_error(detections, detections.iou, detections.label, classes, localization_bins)
            columns[name] = (_mean(fit), fit, text)
        distance = np.abs(touching.score - touching.iou)
        count = np.bincount(touching.label, minlength=classes)
        alone = ratio(np.bincount(touching.label, distance, classes), count)
        columns["la_ace0"] = (_mean(alone), alone, "0.00")
    else:
        message = f"calibration: {wrong}; it is not measured. Give probabilities in [0, 1]"
        warnings.warn(message, InputWarning, stacklevel=3)
        nothing = np.full(classes, math.nan)
        for name in ("d_ece", "la_ece", "la_ece0", "la_ace0"):
            columns[name] = (math.nan, nothing, "0.00" if name.endswith("0") else iou_text([threshold]))
    most = matches.rule.max_dets[-1]
    values = [Value(name, total, "", where, text, most) for name, (total, _, text) in columns.items()]
    for label, class_name in enumerate(matches.classes):
        values += [
            Value(name, float(each[label]), class_name, where, text, most)
            for name, (_, each, text) in columns.items()
        ]
    return values


def detection_calibration_error(
    matches: Matches,
    over: Sequence[Axis] = ("score",),
    iou: float | None = None,
    bins: int = 10,
    floor: float = 0.0,
    area: str | None = None,
) -> float:
    """D-ECE over bins of score, and where asked for also of where and how large the box is; all classes pooled.

    Each axis has as many bins of equal width in [0, 1], the lowest closed at both ends, the others above their lower
    end and up to their upper one. What lies beyond the image counts to the bin at its border.

    Args:
        matches: detections and what they found.
        over: by what detections are binned.
        iou: one of the rule's thresholds, the first where None.
        bins: of each axis.
        floor: detections below this score are left out.
        area: one of the rule's area ranges, the first where None.

    Returns:
        In [0, 1]; NaN without detections.

    Raises:
        InputError: an axis that is none, an image whose size is not known, or scores that are not in [0, 1].

    Source: Küppers et al. 2020, Multivariate confidence calibration for object detection, section 3.
    """
    edges = equal_edges(bins)
    for axis in over:
        if axis not in get_args(Axis):
            raise InputError(f"over: unknown {axis!r}; known: {', '.join(get_args(Axis))}")
    if wrong := describe_out_of_range(matches):
        raise InputError(f"scores: {wrong}; scores that are no probabilities are not calibrated")
    at = scored_detections(matches, matches.rule.iou_thresholds[0] if iou is None else iou, area, floor)
    key = np.zeros(len(at.row), np.int64)
    for axis in over:
        key = key * bins + bin_of(_along(matches, at, axis), edges)
    place = np.unique(key, return_inverse=True)[1].astype(np.int64)
    gaps = np.abs(np.bincount(place, at.true) - np.bincount(place, at.score))
    return float(gaps.sum() / len(key)) if len(key) else math.nan


def _binned_error(
    at: ScoredDetections, worth: NDArray[np.generic], group: NDArray[np.int32], groups: int, bins: int
) -> NDArray[np.float64]:
    """For each group the mean over equally wide bins of |mean worth - mean score|, weighed by detections.

    With S the sum of scores and W that of what they should be, a bin of n detections adds n / N * |W / n - S / n|.
    """
    place = group.astype(np.int64) * bins + bin_of(at.score, equal_edges(bins))
    gaps = np.bincount(place, worth, groups * bins) - np.bincount(place, at.score, groups * bins)
    return ratio(np.abs(gaps).reshape(groups, bins).sum(1), np.bincount(group, minlength=groups))


def _along(matches: Matches, at: ScoredDetections, axis: Axis) -> NDArray[np.float64]:
    if axis == "score":
        return at.score
    image = matches.detections.image[at.row]
    sizes = matches.truth.catalog.sizes[image]
    if (sizes <= 0).any():
        unknown = matches.truth.catalog.image_ids[image[np.argmin(sizes.min(1))]]
        raise InputError(f"over: {axis!r} needs image sizes, and that of image {unknown!r} is not known")
    x, y, width, height = matches.detections.xywh[at.row].T
    part, whole = {"cx": (x + width / 2, 1), "cy": (y + height / 2, 0), "w": (width, 1), "h": (height, 0)}[
        axis
    ]
    return np.asarray(part / sizes[:, whole])


def _lowest(matches: Matches) -> float:
    """The rule's threshold that is as good as 0, or the one that is."""
    first = matches.rule.iou_thresholds[0]
    return first if first <= TOUCH else TOUCH


def _at_zero(matches: Matches) -> Matches:
    """The same detections matched at IoU 0: as the rule's thresholds are above, once more."""
    if matches.rule.iou_thresholds[0] <= TOUCH:
        return matches
    return match(matches.truth, matches.detections, replace(matches.rule, iou_thresholds=(TOUCH,)))


def _floors(matches: Matches, floor: float, thresholds: Scores | None) -> NDArray[np.float64]:
    """(K,) below which detections of each class are left out."""
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
                f"thresholds: none for class {missing[0]!r}; give one for each of {len(classes)}"
            )
        thresholds = [thresholds[name] for name in classes]
    given = np.asarray(thresholds, np.float64)
    if given.shape not in ((), (len(classes),)):
        raise InputError(
            f"thresholds: expected a number or {len(classes)}, one per class, got shape {given.shape}"
        )
    return np.maximum(np.broadcast_to(given, len(classes)), floor)


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan
