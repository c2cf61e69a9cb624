"""Pascal VOC's average precision: at 11 recall levels (2007), and the area under the whole curve (from 2010)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches, MatchOutcome
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure, overall_values

VOC07_LEVELS = np.linspace(0.0, 1.0, 11)
"""Recall levels of 2007."""


@measure(
    "voc_average_precision",
    better="higher",
    source="Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2; VOC2010 development kit",
)
def voc_average_precision(matches: Matches, iou: float = 0.5, area: str | None = None) -> list[Value]:
    """Pascal VOC's average precision: at 11 recall levels (2007), and under the whole curve (from 2010).

    ``voc07_ap`` is the mean precision at recall 0, 0.1 ... 1, ``voc10_ap`` the area under the whole curve.
    ``difficult`` objects (`ignored`) are neither valid ground truth nor counted against a detection. All detections within
    the rule's max_dets count; VOC has no such limit. Under COCO's rule a detection whose best object is already matched may
    match another, where VOC's development kit counts a false positive: the protocols ``voc2007`` and ``voc2012`` follow the
    kit.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges, by default the first.
    """
    area = area or matches.rule.areas[0]
    threshold, index = matches.rule.threshold_index(iou), matches.rule.area_index(area)
    at_11_levels = matches.curves(levels=VOC07_LEVELS).precision[threshold, :, :, index].mean(axis=0)
    outcome = matches.at(iou, area)
    under_curve = area_under_envelope(outcome)
    fields = (area, iou_text([iou]), matches.rule.max_dets[-1])
    columns = [ClassColumn("voc07_ap", at_11_levels, *fields), ClassColumn("voc10_ap", under_curve, *fields)]
    return overall_values(columns) + class_values(columns, matches.classes)


def area_under_envelope(outcome: MatchOutcome) -> NDArray[np.float64]:
    """(K,) area under each class's precision-recall curve, made monotonic; NaN without valid objects, 0 without detections.

    Source: VOCap.m of the VOC2010 development kit.
    """
    areas = np.full(len(outcome.positives), math.nan)
    for label in np.flatnonzero(outcome.positives):
        part = slice(outcome.start[label], outcome.start[label + 1])
        tp = outcome.tp[part][~outcome.ignored[part]]
        precision = np.cumsum(tp) / np.arange(1, len(tp) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        # Each true positive raises recall by 1 / positives.
        areas[label] = envelope[tp].sum() / outcome.positives[label]
    return areas
